"""Names and sidecars of a BIDS derivative."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from corpus.files import nifti, packed
from insula.config import SegmentConfig
from insula.errors import NoInput
from insula.io import read_labels, read_mask, read_scan
from insula.predict import (
    bids_paths,
    find_bids_scans,
    look_through,
    segment,
    segmented_bids_scan,
    write_bids_dataset,
    write_bids_result,
)
from insula.volume import Case


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def test_raw_t1w_scans_are_found_and_nothing_else(tmp_path: Path) -> None:
    root = _touch(
        tmp_path,
        "sub-02/anat/sub-02_T1w.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_acq-mprage_run-2_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii",
        "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz",
        "sub-01/ses-a/anat/._sub-01_ses-a_T1w.nii.gz",
        "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.json",
        "sub-03/func/sub-03_task-rest_bold.nii.gz",
    )
    scans = find_bids_scans(root)
    assert [scan.name for scan in scans] == ["sub-01_ses-a", "sub-01_ses-b_acq-mprage_run-2", "sub-02"]
    assert scans[1].entities == {"sub": "01", "ses": "b", "acq": "mprage", "run": "2"}
    assert [scan.name for scan in find_bids_scans(root, ("sub-02",))] == ["sub-02"]
    assert len(find_bids_scans(root, ("01", "sub-02"))) == 3


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="is not a folder"):
        find_bids_scans(tmp_path / "absent")
    _touch(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    with pytest.raises(NoInput, match=r"the participant 02 .*there are: 01"):
        find_bids_scans(tmp_path, ("02",))
    with pytest.raises(NoInput, match="holds no"):
        find_bids_scans(tmp_path)


@pytest.mark.parametrize(
    ("scan", "mask"),
    [
        ("sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_space-orig_label-L_desc-insula_mask.nii.gz"),
        (
            "sub-1/ses-2/anat/sub-1_ses-2_acq-hi_run-3_T1w.nii.gz",
            "sub-1/ses-2/anat/sub-1_ses-2_acq-hi_run-3_space-orig_label-L_desc-insula_mask.nii.gz",
        ),
        (
            "sub-1/anat/sub-1_space-MNI152NLin2009aSym_T1w.nii.gz",
            "sub-1/anat/sub-1_space-MNI152NLin2009aSym_label-L_desc-insula_mask.nii.gz",
        ),
        (
            "sub-1/anat/sub-1_rec-norm_desc-preproc_T1w.nii.gz",
            "sub-1/anat/sub-1_rec-norm_space-orig_label-L_desc-insula_mask.nii.gz",
        ),
    ],
)
def test_entities_stand_in_the_standards_order(scan: str, mask: str, tmp_path: Path) -> None:
    (bids_scan,) = find_bids_scans(_touch(tmp_path / "raw", scan))
    out = tmp_path / "out"
    paths = bids_paths(bids_scan, out)
    assert paths.mask.relative_to(out).as_posix() == mask
    assert len({paths.mask, paths.prob, paths.lesions, paths.record, paths.page, paths.brain}) == 6
    brain = mask.replace("_label-L_", "_label-brain_")
    assert paths.brain.relative_to(out).as_posix() == brain


def test_a_result_is_written_whole(tiny_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "raw" / "sub-1" / "anat" / "sub-1_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(packed(nifti()))
    (scan,) = find_bids_scans(tmp_path / "raw")
    out = tmp_path / "raw" / "derivatives" / "insula"
    out.mkdir(parents=True)
    write_bids_dataset(tmp_path / "raw", out)
    first = (out / "dataset_description.json").read_bytes()
    write_bids_dataset(tmp_path / "raw", out)
    assert (out / "dataset_description.json").read_bytes() == first
    assert json.loads(first)["DatasetLinks"] == {"raw": "../.."}

    result = segment(read_scan(path), SegmentConfig(device="cpu"), weights=str(tiny_weights))
    paths = bids_paths(scan, out)
    record = write_bids_result(result, scan, paths)
    assert json.loads(paths.record.read_text()) == json.loads(json.dumps(record))
    labels, grid = read_labels(paths.lesions)
    assert grid.close_to(result.scan.grid)
    assert np.array_equal(labels > 0, result.mask.voxels)
    sizes = np.bincount(labels.ravel())[1:]
    assert list(sizes) == sorted(sizes, reverse=True)
    assert len(sizes) == len(result.lesions)
    names = paths.lesions.with_name(paths.lesions.name.replace(".nii.gz", ".tsv")).read_text().splitlines()
    assert names[:2] == ["index\tname", "1\tlesion 1"]
    assert len(names) == 1 + len(result.lesions)
    for image in (paths.mask, paths.prob, paths.lesions):
        beside = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())
        assert beside["Sources"] == ["bids:raw:sub-1/anat/sub-1_T1w.nii.gz"]


def test_the_brain_has_a_mask_and_a_sidecar_where_the_weights_give_one(
    brain_weights: Path, tiny_weights: Path, coarse_case: Case, tmp_path: Path
) -> None:
    (scan,) = find_bids_scans(_touch(tmp_path / "raw", "sub-1/anat/sub-1_T1w.nii.gz"))
    paths = bids_paths(scan, tmp_path / "out")
    sidecar = paths.brain.with_name(paths.brain.name.replace(".nii.gz", ".json"))
    assert {paths.brain, sidecar} <= set(paths.all_but_the_record)
    config = SegmentConfig(device="cpu")
    result = segment(coarse_case.scan, config, weights=str(brain_weights))
    record = write_bids_result(result, scan, paths)
    assert result.brain is not None
    assert np.array_equal(read_mask(paths.brain).voxels, result.brain.voxels)
    assert json.loads(sidecar.read_text())["Type"] == "Brain"
    assert record["files"]["brain"] == "sub-1_space-orig_label-brain_desc-insula_mask.nii.gz"
    beside_prob = paths.prob.with_name(paths.prob.name.replace(".nii.gz", ".json"))
    assert json.loads(beside_prob.read_text())["Description"].endswith("0 outside the brain")
    again = write_bids_result(segment(coarse_case.scan, config, weights=str(tiny_weights)), scan, paths)
    assert "brain" not in again["files"]
    assert not paths.brain.exists()
    assert not sidecar.exists()


def test_what_is_no_t1w_scan_is_passed_over_and_named(tmp_path: Path) -> None:
    root = _touch(
        tmp_path,
        "sub-1/anat/sub-1_part-mag_T1w.nii.gz",
        "sub-1/anat/sub-1_part-phase_T1w.nii.gz",
        "sub-2/anat/sub-2_UNIT1.nii.gz",
        "sub-3/anat/sub-3_T1w.nii.gz",
        "sub-3/anat/sub-3_UNIT1.nii.gz",
        "sub-4/func/sub-4_task-rest_bold.nii.gz",
        "sub-5/ses-a/anat/sub-5_ses-a_T1w.nii.gz",
        "sub-5/ses-b/anat/sub-5_ses-b_T2w.nii.gz",
        "sub-3/anat/sub-3_my_T1w.nii.gz",
    )
    dataset = look_through(root)
    assert [scan.path.name for scan in dataset.scans] == [
        "sub-1_part-mag_T1w.nii.gz",
        "sub-2_UNIT1.nii.gz",
        "sub-3_T1w.nii.gz",
        "sub-5_ses-a_T1w.nii.gz",
    ]
    assert dataset.notes == (
        "passed over: 4 images (sub-1_part-phase_T1w.nii.gz, sub-3_UNIT1.nii.gz, sub-3_my_T1w.nii.gz, ...), "
        "by their names not T1w scans",
        "1 of 5 participants without a T1w scan: passed over (sub-4)",
        "1 of 2 sessions without a T1w scan: passed over (sub-5_ses-b)",
    )
    assert look_through(root, ("2",)).notes == ()


@pytest.mark.parametrize("other", ["sub-1_T1w.nii", "sub-1_desc-defaced_T1w.nii.gz"])
def test_two_scans_of_one_result_are_one_scan_with_a_twin(other: str, tmp_path: Path) -> None:
    (scan,) = find_bids_scans(_touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", f"sub-1/anat/{other}"))
    assert {scan.path.name, scan.twin} == {"sub-1_T1w.nii.gz", other}


def test_the_scan_of_a_result_is_the_one_of_its_sidecar(tmp_path: Path) -> None:
    (scan,) = find_bids_scans(_touch(tmp_path / "raw", "sub-1/ses-b/anat/sub-1_ses-b_run-2_UNIT1.nii.gz"))
    out = tmp_path / "out"
    _touch(out, bids_paths(scan, out).mask.relative_to(out).as_posix().replace(".nii.gz", ".json"))
    (sidecar,) = out.rglob("*.json")
    sidecar.write_text(json.dumps({"Sources": [f"bids:raw:{scan.inside}"]}))
    found = segmented_bids_scan("sub-1_ses-b_run-2", out)
    assert (found.inside, found.name) == (scan.inside, scan.name)
    for damage in ("{", "[]", '{"Sources": [1]}'):
        sidecar.write_text(damage)
        assert segmented_bids_scan(scan.name, out).inside == "sub-1/ses-b/anat/sub-1_ses-b_run-2_T1w.nii.gz"
