"""`insula evaluate` and `insula calibrate` as a user meets them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cli.call import call
from cohort.tree import load, mask_path, plant_tree, save
from insula.checkpoint import load_weights, store_card

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    plant_tree(root, sites=5, each=4, step_mm=6.0)
    return root


def _predict(tree: Path, folder: Path, *, shift: int) -> Path:
    """The truth, moved: what a method of known quality would answer."""
    folder.mkdir()
    for path in sorted(tree.rglob("*_mask.nii.gz")):
        voxels, affine = load(path)
        case = "_".join(path.name.split("_")[:2])
        save(folder / f"{case}_mask.nii.gz", np.roll(voxels, shift, axis=0), affine)
    return folder


def test_the_truth_scores_one_and_the_page_is_written(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    perfect = _predict(tree, tmp_path / "perfect", shift=0)
    result = call(capsys, "evaluate", tree, perfect, "--out", tmp_path / "out", "--jobs", 1)
    assert result.code == 0
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    rows = [row for row in record["sets"]["perfect"]["summary"] if row["stratum"] == "all"]
    values = {row["metric"]: row["mean"]["value"] for row in rows if row["mean"]}
    assert values["dice"] == values["f1_iou25"] == 1
    assert values["hd95_mm"] == values["volume_difference_ml"] == 0
    assert "perfect: 20 cases" in result.out
    assert (tmp_path / "out" / "evaluation.html").read_text().rstrip().endswith("</html>")
    cases = list(csv.DictReader((tmp_path / "out" / "cases-perfect.tsv").read_text().splitlines(), delimiter="\t"))
    assert len(cases) == 20
    assert {case["centre"] for case in cases} == {f"R00{n}" for n in range(1, 6)}


def test_two_sets_are_compared_pair_by_pair(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    near, far = (_predict(tree, tmp_path / name, shift=n) for name, n in (("near", 1), ("far", 3)))
    result = call(capsys, "evaluate", tree, near, far, "--out", tmp_path / "out", "--preset", "atlas2022", "--jobs", 1)
    assert result.code == 0
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    dice = next(comparison for comparison in record["comparisons"] if comparison["metric"] == "dice")
    assert dice["n"] == 20
    assert {dice["first"], dice["second"]} == {"near", "far"}
    assert dice["p_holm"] < 0.001
    assert (dice["difference"]["mean"]["value"] < 0) == (dice["second"] == "far")
    assert dice["difference"]["mean"]["centres"] == 5
    assert [comparison["p_holm"] is not None for comparison in record["comparisons"]] == [
        comparison["primary"] for comparison in record["comparisons"]
    ]
    assert "after Holm" in result.out
    assert "a true difference of 0.02 would show with a chance of" in result.out
    twice = tmp_path / "again" / "near"
    shutil.copytree(near, twice)
    call(capsys, "evaluate", tree, near, twice, "--out", tmp_path / "o2", "--jobs", 1)
    record = json.loads((tmp_path / "o2" / "evaluation.json").read_text())
    assert len(record["sets"]) == 2  # sets of the same name are told apart
    assert all(
        comparison["difference"]["mean"]["value"] == 0 for comparison in record["comparisons"] if comparison["n"]
    )


def test_a_split_scores_its_test_part_alone(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    perfect = _predict(tree, tmp_path / "perfect", shift=0)
    split = tmp_path / "split.json"
    call(capsys, "cohort", "split", tree, "--folds", 5, "--out", split)
    arguments = ("evaluate", tree, perfect, "--split", split, "--jobs", 1, "--out", tmp_path / "out")
    assert call(capsys, *arguments, "--fold", 2).code == 0
    cases = json.loads((tmp_path / "out" / "evaluation.json").read_text())["sets"]["perfect"]["cases"]
    assert sorted(case["case"] for case in cases) == sorted(json.loads(split.read_text())["folds"][2]["test"])
    result = call(capsys, *arguments, "--fold", 5)
    assert (result.code, "--fold 5 is not one of 5" in result.err) == (2, True)
    tree_of_split = json.loads(split.read_text())
    split.write_text('{"folds": 3}')
    result = call(capsys, *arguments)
    assert (result.code, "is not what `insula cohort split` wrote" in result.err) == (65, True)
    test = tree_of_split["folds"][0]["test"]
    for train, tested, message in (
        ([], ["sub-nobody"], "names 1 cases that are not in the cohort, e.g. sub-nobody"),
        (test[:1], test, f"the same case on both sides ({test[0]} trains, {test[0]} tests)"),
    ):
        split.write_text(json.dumps(tree_of_split | {"folds": [{"train": train, "test": tested}]}))
        result = call(capsys, *arguments)
        assert (result.code, message in result.err) == (65, True)


def test_what_does_not_fit_is_refused_in_one_line(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    perfect = _predict(tree, tmp_path / "perfect", shift=0)
    (tmp_path / "empty").mkdir()
    out = ("--out", tmp_path / "out", "--jobs", 1)
    for arguments, code, message in (
        ((tree,), 2, "are missing"),
        ((tree, tmp_path / "empty"), 65, "predict them too"),
        ((tree, tmp_path / "absent"), 66, "absent"),
        ((tmp_path / "absent", perfect), 66, "absent"),
        ((tree, perfect, "--split", tmp_path / "none.json"), 66, "none.json"),
        ((tree, perfect, "--primary", "jaccard"), 2, "is not a metric of the preset full"),
        ((tree, perfect, "--hoped", "0"), 2, "is not above 0"),
    ):
        result = call(capsys, "evaluate", *arguments, *out)
        assert (result.code, result.err.count("\n")) == (code, 1), result
        assert message in result.err
    lost = next(iter(sorted(perfect.iterdir())))
    lost.rename(tmp_path / lost.name)
    result = call(capsys, "evaluate", tree, perfect, *out)
    assert result.code == 65
    assert lost.name.removesuffix("_mask.nii.gz") in result.err
    save(lost, np.zeros((9, 9, 9), np.uint8), np.eye(4))
    result = call(capsys, "evaluate", tree, perfect, *out)
    assert result.code == 65
    assert "does not lie on the truth's grid" in result.err


def test_a_label_picks_the_lesion(tmp_path: Path, capsys: Capture) -> None:
    (name,) = plant_tree(tmp_path / "tree", sites=1, each=1, step_mm=6.0)
    perfect = _predict(tmp_path / "tree", tmp_path / "perfect", shift=0)
    path = mask_path(tmp_path / "tree", name)
    voxels, affine = load(path)
    voxels = np.asarray(voxels).copy() * np.uint8(3)
    voxels[0, 0, 0] = 1
    save(path, voxels, affine)
    arguments = ("evaluate", tmp_path / "tree", perfect, "--jobs", 1, "--out", tmp_path / "out")
    result = call(capsys, *arguments)
    assert result.code == 65
    assert "--label" in result.err
    result = call(capsys, *arguments, "--label", 3)
    assert result.code == 0
    assert "dice                       1.000" in result.out


def test_weights_are_calibrated_on_a_cohort(tree: Path, tiny_weights: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny_weights, folder)
    before = load_weights(str(folder))
    result = call(capsys, "calibrate", folder, tree, "--device", "cpu")
    assert result.code == 0
    assert "20 cases of 5 centres" in result.out
    assert "each centre left out in turn" in result.out
    after = load_weights(str(folder))
    assert after.sha256 == before.sha256
    facts = after.card.calibration.fitted_on
    assert facts is not None
    assert facts["cases"] == 20
    assert facts["log_loss_after"] <= facts["log_loss_before"]
    assert str(after.card.calibration.temperature) in result.out

    perfect = _predict(tree, tmp_path / "perfect", shift=0)
    arguments = ("evaluate", tree, perfect, "--jobs", 1, "--out", tmp_path / "out")
    assert "calibrated on" not in call(capsys, *arguments).err
    result = call(capsys, *arguments, "--weights", folder)
    assert (result.code, "was calibrated on 20 of 20 of these subjects" in result.err) == (0, True)
    for path in perfect.glob("*_mask.nii.gz"):  # records of weights that are not there under their name tell nothing
        record = {"provenance": {"weights": {"name": after.card.name, "sha256": after.sha256}}}
        path.with_name(path.name.replace("_mask.nii.gz", ".json")).write_text(json.dumps(record))
    assert call(capsys, *arguments).code == 0
    assert "sub-" not in json.dumps(json.loads((folder / "tiny.json").read_text())["calibration"])

    split = tmp_path / "split.json"
    call(capsys, "cohort", "split", tree, "--folds", 5, "--out", split)
    result = call(capsys, "calibrate", folder, tree, "--split", split, "--device", "cpu")
    assert (result.code, "4 are fewer than 20" in result.err) == (65, True)
    assert load_weights(str(folder)).card == after.card
    result = call(capsys, "calibrate", tmp_path / "absent", tree)
    assert (result.code, result.err.count("\n")) == (66, 1)


def test_an_ensemble_with_a_replaced_member_is_calibrated_again(
    tree: Path, tiny_weights: Path, brain_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    for number in range(2):
        shutil.copytree(tiny_weights, tmp_path / "cv" / f"fold{number}")
    store_card(str(tmp_path / "cv"), load_weights(str(tmp_path / "cv")).card)
    shutil.rmtree(tmp_path / "cv" / "fold1")
    shutil.copytree(brain_weights, tmp_path / "cv" / "fold1")
    result = call(capsys, "inspect", tmp_path / "cv")
    assert (result.code, "calibrate it again" in result.err) == (65, True)
    assert call(capsys, "calibrate", tmp_path / "cv", tree, "--device", "cpu").code == 0
    result = call(capsys, "inspect", tmp_path / "cv")
    assert (result.code, "20 cases of 5 centres" in result.out) == (0, True)


def test_every_pair_that_cannot_be_scored_is_named_and_nothing_is_averaged(
    tree: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder = _predict(tree, tmp_path / "some", shift=0)
    cut, several = sorted(folder.glob("*_mask.nii.gz"))[:2]
    cut.write_bytes(cut.read_bytes()[:-20])
    voxels, affine = load(several)
    voxels = voxels.copy()
    voxels[tuple(np.argwhere(voxels)[0])] = 2
    save(several, voxels, affine)
    result = call(capsys, "evaluate", tree, folder, "--out", tmp_path / "out", "--jobs", 1)
    assert result.code == 65
    first, second, last = result.err.splitlines()
    assert first.startswith(f"insula: the prediction of {cut.name.removesuffix('_mask.nii.gz')}: the gzip stream")
    assert second.startswith(f"insula: the prediction of {several.name.removesuffix('_mask.nii.gz')}: the mask")
    assert "--label" not in second
    assert "2 of" in last
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_the_truth_is_no_prediction_of_itself(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    result = call(capsys, "evaluate", tree, tree, "--out", tmp_path / "out", "--jobs", 1)
    assert result.code == 65
    assert "are the truth itself" in result.err


def test_a_label_that_no_truth_has_is_refused(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = _predict(tree, tmp_path / "some", shift=0)
    result = call(capsys, "evaluate", tree, folder, "--out", tmp_path / "out", "--jobs", 1, "--label", 7)
    assert result.code == 65
    assert "has no label 7" in result.err
