"""`insula cohort` as a user meets it: exit codes, one helpful line, reports."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from cli.call import call
from cohort.tree import load, mask_path, plant_tree, save, scan_path
from insula.store import Store

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    plant_tree(root, sites=3, each=4, step_mm=6.0)
    return root


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """One mask gone, one scan cut short, one mask with two labels."""
    root = tmp_path / "broken"
    names = plant_tree(root, sites=2, each=3, step_mm=6.0)
    mask_path(root, names[0]).unlink()
    scan = scan_path(root, names[1])
    scan.write_bytes(scan.read_bytes()[:-400])
    voxels, affine = load(mask_path(root, names[2]))
    voxels = np.asarray(voxels).copy()
    voxels[tuple(np.argwhere(voxels)[0])] = 2
    save(mask_path(root, names[2]), voxels, affine)
    return root


def test_a_clean_cohort_is_checked(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    result = call(capsys, "cohort", "check", tree, "--out", tmp_path / "out", "--jobs", 1)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "atlas-indi: 12 cases, 12 subjects, 3 centres; 12 usable"
    assert lines[-1] == str(tmp_path / "out" / "cohort.html")
    centres = [line.split() for line in lines if line.lstrip().startswith("R0")]
    assert [line[:3] for line in centres] == [[f"R00{n}", "4", "4"] for n in (1, 2, 3)]
    assert all("RAS" in line and "6x6x6" in line for line in centres)
    assert not [line for line in lines if "error" in line or "warning" in line]
    assert lines[-2] == "  sheet: 12 of 12 cases found in phantom_MetaData.csv"
    assert "12 of 12 cases found in phantom_MetaData.csv" in (tmp_path / "out" / "cohort.html").read_text()
    record = json.loads((tmp_path / "out" / "cohort.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "cohort.tsv").read_text().splitlines(), delimiter="\t"))
    assert record["counts"]["cases"] == len(rows) == 12
    assert all(row["faults"] == "n/a" or not row["faults"] for row in rows)
    assert float(rows[0]["lesion_ml"]) > 0


def test_faults_are_named_and_the_code_says_so(broken: Path, tmp_path: Path, capsys: Capture) -> None:
    result = call(capsys, "cohort", "check", broken, "--out", tmp_path / "out", "--jobs", 1)
    assert result.code == 1
    for line in (
        "sub-r001s001_ses-1: error: mask-missing",
        "sub-r001s002_ses-1: error: image-unreadable",
        "sub-r001s003_ses-1: error: mask-multi-label",
    ):
        assert line in result.out
    page = (tmp_path / "out" / "cohort.html").read_text()
    assert "mask-multi-label" in page
    assert "image-unreadable" in page


def test_a_broken_cohort_goes_the_whole_way_without_its_broken_cases(
    broken: Path, quiet_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Each command of the walk-through: what is broken is named, left out, and never silently scored."""
    out = {name: tmp_path / name for name in ("check", "store", "predictions", "nnunet", "evaluation")}
    names = [f"sub-r001s00{n}_ses-1" for n in (1, 2, 3)]
    assert call(capsys, "cohort", "check", broken, "--out", out["check"], "--jobs", 1).code == 1
    split = ("--by", "random", "--fraction", 0.5, "--out", tmp_path / "split.json")
    result = call(capsys, "cohort", "split", out["check"] / "cohort.json", *split)
    assert result.code == 0
    assert "3 cases without a mask or with an error are in no part" in result.out
    for verb, where, options in (("prepare", "store", ()), ("export", "nnunet", ("--to", "nnunet"))):
        result = call(capsys, "cohort", verb, broken, "--out", out[where], "--jobs", 1, *options)
        assert result.code == 1
        assert all(name in result.err for name in names)
        assert "Traceback" not in result.err
    assert sorted(Store(out["store"]).cases) == [f"sub-r002s00{n}_ses-1" for n in (1, 2, 3)]

    result = call(capsys, "segment", broken, "--out", out["predictions"], "--weights", quiet_weights, "--device", "cpu")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "sub-r001s002" in result.err
    evaluate = ("evaluate", broken, out["predictions"], "--out", out["evaluation"], "--jobs", 1)
    result = call(capsys, *evaluate)
    assert result.code == 65
    assert "lack 1 of 5 cases, e.g. sub-r001s002_ses-1" in result.err
    assert call(capsys, *evaluate, "--split", tmp_path / "split.json").code == 0
    tested = json.loads((tmp_path / "split.json").read_text())["folds"][0]["test"]
    scored = json.loads((out["evaluation"] / "evaluation.json").read_text())["sets"]["predictions"]["cases"]
    assert sorted(case["case"] for case in scored) == sorted(tested)
    assert not set(tested) & set(names)


def test_a_label_makes_a_mask_of_several_usable(broken: Path, tmp_path: Path, capsys: Capture) -> None:
    result = call(capsys, "cohort", "check", broken, "--out", tmp_path / "out", "--jobs", 1, "--label", 1)
    assert "mask-multi-label" not in result.out
    assert result.out.splitlines()[0].endswith("; 4 usable")
    store = tmp_path / "store"
    result = call(capsys, "cohort", "prepare", broken, "--out", store, "--jobs", 1, "--label", 1)
    assert result.code == 1  # one scan is unreadable, one mask is gone
    assert sorted(line.split(":")[1].strip() for line in result.err.splitlines()) == [
        "sub-r001s001_ses-1",
        "sub-r001s002_ses-1",
    ]
    assert len(Store(store).cases) == 4
    assert Store(store).verify() == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("check", "absent"), 66, "absent"),
        (("check", "."), 66, "holds no"),
        (("split", "absent"), 66, "absent"),
        (("split", "TREE", "--folds", "1"), 2, "1"),
        (("split", "TREE", "--folds", "4"), 2, "4"),  # three centres cannot make four folds of centres
        (("split", "TREE", "--fraction", "1.5"), 2, "1.5"),
        (("split", "TREE", "--by", "chance"), 2, "chance"),
        (("split", "TREE", "--inner", "0"), 2, "--inner 0"),
        (("split", "TREE", "--inner", "1"), 2, "--inner 1"),
        (("check", "TREE", "--label", "0"), 2, "--label 0"),
        (("simulate", "--data", "absent", "--out", "o"), 66, "absent"),
        (("prepare", "absent"), 66, "absent"),
        (("export", "TREE", "--to", "nnunet", "--out", "o", "--predictions", "p"), 2, "--predictions p"),
        (("export", "TREE", "--to", "atlas2022", "--out", "o"), 2, "--predictions"),
        (("export", "TREE", "--to", "bids", "--out", "o", "--split", "s.json"), 2, "--split s.json"),
        (("import", "absent", "--out", "o"), 66, "absent"),
    ],
)
def test_rubbish_gets_one_line(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    tree: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(capsys, "cohort", *(str(tree) if word == "TREE" else word for word in arguments))
    assert result.code == code, result
    assert message in result.err
    if code != 2 or result.err.startswith("insula: "):
        assert result.err.count("\n") == 1
        assert result.err.startswith("insula: ")


def test_a_split_keeps_centres_apart_from_a_record_too(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "check"
    call(capsys, "cohort", "check", tree, "--out", out, "--jobs", 1)
    splits = [tmp_path / f"{n}.json" for n in range(2)]
    for source, path in zip((out, out / "cohort.json"), splits, strict=True):
        assert call(capsys, "cohort", "split", source, "--folds", 3, "--out", path).code == 0
    assert splits[0].read_bytes() == splits[1].read_bytes()
    folds = json.loads(splits[0].read_text())["folds"]
    assert len(folds) == 3
    for fold in folds:
        assert {case[4:8] for case in fold["test"]}.isdisjoint(case[4:8] for case in fold["train"])
    (out / "cohort.json").write_text("{")
    result = call(capsys, "cohort", "split", out)
    assert result.code == 65
    assert "is not JSON" in result.err


def test_the_missions_split_prints_its_interval_and_what_leaks(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    result = call(capsys, "cohort", "split", tree, "--by", "random", "--fraction", 0.85, "--out", tmp_path / "s.json")
    assert result.code == 0
    assert "centres on both sides" in result.out
    assert "mean Dice" in result.out


def test_a_stopped_preparation_goes_on(tree: Path, tmp_path: Path, capsys: Capture) -> None:
    store = tmp_path / "store"
    call(capsys, "cohort", "prepare", tree, "--out", store, "--jobs", 1)
    files = sorted(store.rglob("*.safetensors"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    files[0].unlink()
    assert call(capsys, "cohort", "prepare", tree, "--out", store, "--jobs", 1).code == 0
    for path, (content, time) in before.items():
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns == time) == (path != files[0])


def test_a_cohort_without_a_lesion_is_told_and_never_trained_on(tmp_path: Path, capsys: Capture) -> None:
    root, store = tmp_path / "tree", tmp_path / "store"
    for name in plant_tree(root, sites=1, each=2, step_mm=6.0):
        voxels, affine = load(mask_path(root, name))
        save(mask_path(root, name), np.asarray(voxels) * np.uint8(0), affine)
    note = "none of 2 cases has a lesion: all masks are empty"
    assert note in call(capsys, "cohort", "check", root, "--out", tmp_path / "c", "--jobs", 1).out
    assert note in call(capsys, "cohort", "prepare", root, "--out", store, "--jobs", 1).out
    assert note in " ".join(json.loads((store / "store.json").read_text())["notes"])
    (tmp_path / "r.toml").write_text(
        'name = "x"\n[train]\nsteps = 1\ndevice = "cpu"\n[model]\nkind = "attention_unet"\nwidths = [4, 8]\n'
    )
    result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "t")
    assert (result.code, result.err.count("\n")) == (65, 1)
    assert "the training cases (2) have no lesion" in result.err
    assert not list((tmp_path / "t").rglob("*.safetensors"))


def test_a_sheet_that_is_not_understood_is_told_by_every_verb(tmp_path: Path, capsys: Capture) -> None:
    root = tmp_path / "tree"
    plant_tree(root, sites=1, each=2, step_mm=6.0)
    (root / "phantom_MetaData.csv").write_text("proband;site\nx;A\n")
    note = "note: 0 of 2 cases found in phantom_MetaData.csv, read with semicolons: no participant_id column"
    for verb, rest in (("check", ()), ("prepare", ()), ("export", ("--to", "bids"))):
        result = call(capsys, "cohort", verb, root, "--out", tmp_path / verb, "--jobs", 1, *rest)
        assert note in result.out, verb
    result = call(
        capsys, "cohort", "split", tmp_path / "check", "--by", "random", "--fraction", 0.5, "--out", tmp_path / "s.json"
    )
    assert note in result.out
    assert note[6:] in json.loads((tmp_path / "s.json").read_text())["notes"]


def test_runs_go_the_whole_way(quiet_weights: Path, tmp_path: Path, capsys: Capture) -> None:
    """Two runs with two masks, a contrast agent: checked, exported and back, segmented, scored."""
    plant_tree(tmp_path / "tree", sites=1, each=2, step_mm=6.0)
    root, lesions = tmp_path / "bids", tmp_path / "bids" / "derivatives" / "lesions"
    for name, run in (("r001s001", "run-1"), ("r001s002", "run-2_ce-gad")):
        for source, path in (
            (scan_path, root / f"sub-1/anat/sub-1_{run}_T1w.nii.gz"),
            (mask_path, lesions / f"sub-1/anat/sub-1_{run}_label-lesion_mask.nii.gz"),
        ):
            save(path, *load(source(tmp_path / "tree", name)))
    result = call(capsys, "cohort", "check", root, "--out", tmp_path / "c", "--jobs", 1)
    assert result.code == 0
    assert "2 cases, 1 subjects, 1 centres; 2 usable" in result.out
    assert "sub-1_run-2_ce-gad: warning: contrast-agent" in result.out
    assert call(capsys, "cohort", "export", root, "--to", "bids", "--out", tmp_path / "x", "--jobs", 1).code == 0
    assert sorted(path.name for path in (tmp_path / "x" / "sub-1").rglob("*.nii.gz")) == [
        "sub-1_run-1_T1w.nii.gz",
        "sub-1_run-2_ce-gad_T1w.nii.gz",
    ]
    options = ("--weights", quiet_weights, "--device", "cpu")
    assert call(capsys, "segment", tmp_path / "x", "--out", tmp_path / "p", *options).code == 0
    assert call(capsys, "evaluate", tmp_path / "x", tmp_path / "p", "--out", tmp_path / "e", "--jobs", 1).code == 0
    scored = json.loads((tmp_path / "e" / "evaluation.json").read_text())["sets"]["p"]["cases"]
    assert [case["case"] for case in scored] == ["sub-1_run-1", "sub-1_run-2_ce-gad"]
