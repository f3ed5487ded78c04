"""Other tools' layouts, there and back: the same voxels, the same places, the same facts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cohort.tree import load, mask_path, plant_tree, save, scan_path
from insula.cohort import Cohort, find_cohort, find_predictions
from insula.cohort.check import check_cohort
from insula.cohort.exchange import find_homes, try_entry, write_entry, write_nnunet_facts, write_sheet
from insula.cohort.split import make_holdout
from insula.cohort.submission import write_predictions, write_submission
from insula.errors import BadData


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("atlas") / "ATLAS_2"
    plant_tree(root, sites=2, each=2)
    mask = mask_path(root, "r001s002")
    voxels, affine = load(mask)
    save(mask, voxels * np.float64(0.99999998), affine)  # one site stores them so
    return root


def _write(cohort: Cohort, layout: str, folder: Path) -> Cohort:
    homes = find_homes(cohort, layout)  # type: ignore[arg-type]
    folder.mkdir(exist_ok=True)
    for entry in cohort.entries:
        write_entry(entry, homes[entry.case], folder)
    write_sheet(cohort.entries, folder, bids=layout == "bids")
    return find_cohort(folder)


def _facts(cohort: Cohort) -> list[tuple[object, ...]]:
    return [(e.case, e.subject, e.session, e.centre, e.days, e.chronicity) for e in cohort.entries]


@pytest.mark.parametrize("through", ["nnunet", "bids"])
def test_atlas_comes_back_from_another_layout(through: str, tree: Path, tmp_path: Path) -> None:
    there = _write(find_cohort(tree), through, tmp_path / "there")
    assert there.layout == through
    back = _write(there, "atlas", tmp_path / "back")
    assert back.layout == "atlas-indi"
    assert _facts(back) == _facts(find_cohort(tree))
    for name in ("r001s001", "r001s002", "r002s001", "r002s002"):
        assert scan_path(tmp_path / "back", name).read_bytes() == scan_path(tree, name).read_bytes()
        (ours, affine), (theirs, expected) = load(mask_path(tmp_path / "back", name)), load(mask_path(tree, name))
        assert np.array_equal(ours > 0, theirs > 0.5)
        assert ours.dtype == np.uint8
        assert set(np.unique(ours)) == {0, 1}
        assert np.abs(affine - expected).max() < 1e-4


def test_nnunet_raw_is_as_nnunet_wants_it(tree: Path, tmp_path: Path) -> None:
    cohort = find_cohort(tree)
    hidden = replace(cohort.entries[3], masks=(), hidden=True)
    cohort = replace(cohort, entries=(*cohort.entries[:3], hidden))
    _write(cohort, "nnunet", tmp_path)
    split = make_holdout(check_cohort(find_cohort(tree)), by="random", fraction=0.5, seed=0)
    write_nnunet_facts(cohort.entries, tmp_path, split)
    facts = json.loads((tmp_path / "dataset.json").read_text())
    assert (facts["channel_names"], facts["labels"]) == ({"0": "T1w"}, {"background": 0, "lesion": 1})
    assert (facts["numTraining"], facts["file_ending"]) == (3, ".nii.gz")
    assert sorted(path.name for path in (tmp_path / "imagesTr").iterdir()) == [
        f"{e.case}_0000.nii.gz" for e in cohort.entries[:3]
    ]
    assert sorted(path.name for path in (tmp_path / "labelsTr").iterdir()) == [
        f"{e.case}.nii.gz" for e in cohort.entries[:3]
    ]
    assert [path.name for path in (tmp_path / "imagesTs").iterdir()] == [f"{hidden.case}_0000.nii.gz"]
    (fold,) = json.loads((tmp_path / "splits_final.json").read_text())
    assert (tuple(fold["train"]), tuple(fold["val"])) == (split.folds[0].train, split.folds[0].test)


def test_a_plain_nii_is_packed_and_stays_the_same(tree: Path, tmp_path: Path) -> None:
    entry = find_cohort(tree).entries[0]
    voxels, affine = load(entry.images[0])
    plain = tmp_path / "sub-x_T1w.nii"
    save(plain, voxels, affine)
    entry = replace(entry, images=(plain,))
    homes = find_homes(Cohort(folder=tmp_path, layout="bids", entries=(entry,)), "nnunet")
    write_entry(entry, homes[entry.case], tmp_path)
    again, place = load(tmp_path / homes[entry.case].image)
    assert np.array_equal(again, voxels)
    assert np.array_equal(place, affine)


def test_nnunets_own_names_become_bids_and_never_collide(tree: Path, tmp_path: Path) -> None:
    source = find_cohort(tree).entries
    entries = tuple(
        replace(e, case=name, subject=name, session="")
        for e, name in zip(source, ("stroke_001", "stroke_002"), strict=False)
    )
    cohort = Cohort(folder=tmp_path, layout="nnunet", entries=entries)
    with pytest.raises(BadData, match="stroke_001 is not named as ATLAS"):
        find_homes(cohort, "atlas")
    bids = _write(cohort, "bids", tmp_path / "bids")
    assert [entry.case for entry in bids.entries] == ["sub-stroke001", "sub-stroke002"]
    assert all(entry.masks and entry.centre != "unknown" for entry in bids.entries)
    twins = replace(cohort, entries=(entries[0], replace(entries[1], case="stroke-001", subject="stroke-001")))
    with pytest.raises(BadData, match="same name as stroke_001"):
        find_homes(twins, "bids")


def test_a_case_that_does_not_fit_is_told_and_the_others_go_on(tree: Path, tmp_path: Path) -> None:
    cohort = find_cohort(tree)
    entry = replace(cohort.entries[0], masks=cohort.entries[0].images)
    homes = find_homes(cohort, "nnunet")
    error = try_entry(entry, homes=homes, folder=tmp_path, labelled=True)
    assert error is not None
    assert try_entry(cohort.entries[1], homes=homes, folder=tmp_path, labelled=True) is None


def _predictions(tree: Path, folder: Path) -> Path:
    folder.mkdir()
    for entry in find_cohort(tree).entries:
        voxels, affine = load(entry.masks[0])
        save(folder / f"{entry.case}_mask.nii.gz", (voxels > 0.5).astype(np.uint8), affine)
    return folder


def test_a_submission_and_back(tree: Path, tmp_path: Path) -> None:
    cohort = find_cohort(tree)
    out = tmp_path / "submission"
    out.mkdir()
    assert write_submission(cohort, _predictions(tree, tmp_path / "p"), out) == 4
    description = json.loads((out / "dataset_description.json").read_text())
    assert (description["Name"], description["DatasetType"]) == ("atlas2_prediction", "derivative")
    first = out / "sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-MNI152NLin2009aSym_label-L_mask.nii.gz"
    assert first.is_file()
    back = tmp_path / "back"
    back.mkdir()
    assert write_predictions(out, back) == 4
    assert sorted(path.name for path in back.iterdir()) == [f"{e.case}_mask.nii.gz" for e in cohort.entries]
    for entry in cohort.entries:
        assert np.array_equal(load(back / f"{entry.case}_mask.nii.gz")[0], load(entry.masks[0])[0] > 0.5)


def test_an_incomplete_submission_is_refused(tree: Path, tmp_path: Path) -> None:
    cohort, predictions = find_cohort(tree), _predictions(tree, tmp_path / "p")
    out = tmp_path / "out"
    out.mkdir()
    (predictions / f"{cohort.entries[1].case}_mask.nii.gz").unlink()
    with pytest.raises(BadData, match=f"of 1 of 4 cases, e.g. {cohort.entries[1].case}"):
        write_submission(cohort, predictions, out)
    voxels, affine = load(cohort.entries[0].masks[0])
    save(
        predictions / f"{cohort.entries[1].case}_mask.nii.gz", np.zeros_like(voxels, np.uint8), affine + np.eye(4) * 0.1
    )
    with pytest.raises(BadData, match="scan's grid"):
        write_submission(cohort, predictions, out)
    assert not (out / "dataset_description.json").exists()


def test_a_folder_without_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="neither nnU-Net raw data nor predicted masks"):
        write_predictions(tmp_path, tmp_path)
    assert find_predictions(tmp_path) == ({}, {})


def test_sessions_of_one_subject_keep_their_own_days_through_bids(tree: Path, tmp_path: Path) -> None:
    first, second = find_cohort(tree).entries[:2]
    entries = (
        replace(first, days=10.0, chronicity="acute"),
        replace(
            second, case="sub-r001s001_ses-2", subject="sub-r001s001", session="ses-2", days=400.0, chronicity="chronic"
        ),
    )
    there = _write(Cohort(folder=tmp_path, layout="atlas-indi", entries=entries), "bids", tmp_path / "bids")
    assert [(e.case, e.days, e.chronicity, e.centre) for e in there.entries] == [
        ("sub-r001s001_ses-1", 10, "acute", "R001"),
        ("sub-r001s001_ses-2", 400, "chronic", "R001"),
    ]
    assert (tmp_path / "bids" / "participants.tsv").read_text().count("\n") == 2


def test_a_refused_case_leaves_no_half_pair(tree: Path, tmp_path: Path) -> None:
    cohort = find_cohort(tree)
    homes = find_homes(cohort, "nnunet")
    frames = tmp_path / "frames_T1w.nii.gz"
    voxels, affine = load(cohort.entries[0].image)
    save(frames, np.stack([voxels, voxels], axis=-1), affine)
    entry, nowhere = cohort.entries[0], (tmp_path / "nowhere.nii.gz",)
    broken = {
        "frame": replace(entry, images=(frames,)),
        "does not exist": replace(entry, masks=nowhere),
        "has no lesion mask": replace(entry, masks=()),
    }
    for message, case in broken.items():
        error = try_entry(case, homes=homes, folder=tmp_path / "out", labelled=True)
        assert error is not None
        assert message in str(error)
        assert not (tmp_path / "out").exists()
