"""The consensus of raters: on the first one's grid, measured, never over what somebody edited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from cli.call import call
from corpus.files import IMAGE, nifti, packed
from study.rater_masks import AFFINE, RATERS, lesion, plant_raters, rows, save

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return plant_raters(tmp_path)


def _voxels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj) > 0


def _record(out: Path, case: str = "a") -> dict[str, Any]:
    return json.loads((out / f"{case}_consensus.json").read_text(encoding="utf-8"))


def test_staple_is_written_and_measured(folders: list[Path], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    result = call(capsys, "consensus", *folders, "--out", out)
    assert result.code == 0 and "c: no mask of cleo" in result.err
    masks = [_voxels(folder / "a_mask.nii.gz") for folder in folders]
    filter_ = sitk.STAPLEImageFilter()
    filter_.SetForegroundValue(1)
    wanted = sitk.GetArrayFromImage(filter_.Execute([sitk.GetImageFromArray(m.astype(np.uint8)) for m in masks])) > 0.5
    assert (_voxels(out / "a_mask.nii.gz") == wanted).all() and wanted.any()
    assert not _voxels(out / "b_mask.nii.gz").any()
    record, voxel_ml = _record(out), abs(np.linalg.det(AFFINE)) / 1000
    assert record["volume_ml"] == pytest.approx(wanted.sum() * voxel_ml, abs=1e-3)
    for n, (rater, mask) in enumerate(zip(RATERS, masks, strict=True)):
        row = record["raters"][n]
        assert row["rater"] == rater
        assert row["volume_ml"] == pytest.approx(mask.sum() * voxel_ml, abs=1e-3)
        assert row["dice"] == pytest.approx(2 * (mask & wanted).sum() / (mask.sum() + wanted.sum()), abs=1e-4)
        assert row["sensitivity"] == pytest.approx(filter_.GetSensitivity()[n], abs=1e-5)
        assert row["specificity"] == pytest.approx(filter_.GetSpecificity()[n], abs=1e-5)
    first, second = masks[:2]
    assert record["pairs"][0] == {
        "rater_a": "anna",
        "rater_b": "ben",
        "dice": pytest.approx(2 * (first & second).sum() / (first.sum() + second.sum()), abs=1e-4),
    }
    table, empty = rows(out / "consensus.tsv"), _record(out, "b")
    assert [row["case"] + row["rater"][0] for row in table] == ["aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb"]
    assert float(table[0]["dice"]) == record["raters"][0]["dice"]
    assert [row["sensitivity"] for row in table[3:6]] == [""] * 3
    assert [(row["dice"], row["sensitivity"]) for row in empty["raters"]] == [(1.0, None)] * 3
    assert len(rows(out / "pairs.tsv")) == 7
    assert f"{record['volume_ml']:.2f} ml, staple of 3" in result.out
    assert "anna and ben: mean Dice" in result.out and "in 3 cases" in result.out


def test_the_consensus_has_the_header_of_the_first_and_others_may_have_another_axis_order(
    folders: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    straight, turned = tmp_path / "straight", tmp_path / "turned"
    call(capsys, "consensus", *folders, "--out", straight)
    path = folders[1] / "a_mask.nii.gz"
    nibabel.save(nibabel.load(path).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])), path)
    assert call(capsys, "consensus", *folders, "--out", turned).code == 0
    assert (turned / "a_mask.nii.gz").read_bytes() == (straight / "a_mask.nii.gz").read_bytes()
    ours, theirs = (nibabel.load(folder / "a_mask.nii.gz").header for folder in (turned, folders[0]))
    for field in "sform_code qform_code srow_x srow_y srow_z pixdim quatern_b qoffset_x xyzt_units".split():
        assert ours[field].tobytes() == theirs[field].tobytes(), field


def test_what_is_unusual_about_a_mask_is_said_once(folders: list[Path], tmp_path: Path, capsys: Capture) -> None:
    for case in "ac":
        image = nibabel.load(folders[1] / f"{case}_mask.nii.gz")
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) * np.uint8(255), image.affine), image.get_filename())
    result = call(capsys, "consensus", *folders, "--out", tmp_path / "out")
    assert result.code == 0
    assert result.err.count("ben: the mask marks lesion with 255 instead of 1 (in 2 cases)") == 1
    assert _record(tmp_path / "out")["raters"][1]["flags"][0]["code"] == "mask-scaled"


def test_a_majority_needs_three(folders: list[Path], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    two = call(capsys, "consensus", *folders[:2], "--out", out, "--method", "majority")
    assert two.code == 2 and "use --method staple, or add a third rater" in two.err and not out.exists()
    three = call(capsys, "consensus", *folders, "--out", out, "--method", "majority")
    assert three.code == 1 and "c: the majority of two raters" in three.err
    votes = np.sum([_voxels(folder / "a_mask.nii.gz") for folder in folders], axis=0)
    assert (_voxels(out / "a_mask.nii.gz") == (votes >= 2)).all()
    assert not (out / "c_mask.nii.gz").exists()
    assert _record(out)["raters"][0]["sensitivity"] is None and "sensitivity" not in three.out


def test_what_is_not_on_the_grid_or_unclear_fails_alone_and_takes_its_earlier_consensus_along(
    folders: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    call(capsys, "consensus", *folders, "--out", out)
    moved = AFFINE.copy()
    moved[:3, 3] += 1
    save(folders[1] / "a_mask.nii.gz", lesion(6), moved)
    save(folders[0] / "b_lesion.nii.gz", lesion(6))
    save(folders[1] / "c_mask.nii.gz", lesion(6) + 2 * lesion(3, 8))
    result = call(capsys, "consensus", *folders, "--out", out)
    assert result.code == 1
    assert "a: ben: the mask (the origin, by 1.73 mm" in result.err and "does not lie on anna's grid" in result.err
    assert "b: anna: the masks b_lesion.nii.gz and b_mask.nii.gz are of the same case" in result.err
    assert "c: ben: the mask with labels [1, 2]" in result.err and "--label" in result.err
    assert not list(out.glob("*_mask.nii.gz")) and rows(out / "consensus.tsv") == []
    files = [folder / "c_mask.nii.gz" for folder in folders[:2]]
    assert call(capsys, "consensus", *files, "--out", out, "--label", 1).code == 0


def test_no_mask_of_a_person_is_replaced(folders: list[Path], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    save(out / "a_mask.nii.gz", lesion(3))  # not a consensus
    call(capsys, "consensus", *folders, "--out", out)
    assert call(capsys, "consensus", *folders, "--out", out).err.count("is no consensus, or was edited") == 1
    assert _voxels(out / "a_mask.nii.gz").sum() == 27
    save(out / "c_mask.nii.gz", lesion(2))  # edited
    result = call(capsys, "consensus", *folders, "--out", out)
    assert result.code == 1 and "the present mask c_mask.nii.gz is no consensus, or was edited" in result.err
    assert _voxels(out / "c_mask.nii.gz").sum() == 8


def test_what_cannot_be_done_is_refused_before_anything_is_written(
    folders: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    for inside in (folders[0], folders[0] / "new"):
        assert "is in the folder of a rater's masks" in call(capsys, "consensus", *folders, "--out", inside).err
    assert not (folders[0] / "new").exists()
    image = tmp_path / "mean.nii.gz"
    result = call(capsys, "consensus", *folders, "--out", image)
    assert result.code == 2 and "name a folder" in result.err and not image.exists()


def test_the_tables_hold_what_earlier_runs_left(folders: list[Path], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    call(capsys, "consensus", *folders, "--out", out)
    files = [folder / "a_mask.nii.gz" for folder in folders]
    assert call(capsys, "consensus", *files, "--out", out, "--method", "majority").code == 0
    methods = {(row["case"], row["method"]) for row in rows(out / "consensus.tsv")}
    assert methods == {("a", "majority"), ("b", "staple"), ("c", "staple")}


def test_a_consensus_is_a_correction(tmp_path: Path, tiny_weights: Path, capsys: Capture) -> None:
    scans, results, name = tmp_path / "scans", tmp_path / "results", "sub-a_T1w"
    scans.mkdir()
    (scans / f"{name}.nii.gz").write_bytes(packed(nifti(IMAGE)))
    call(capsys, "segment", scans, "--out", results, "--weights", tiny_weights, "--device", "cpu")
    network = nibabel.load(results / f"{name}_mask.nii.gz")
    for n, rater in enumerate(RATERS):
        voxels = np.zeros(network.shape, np.uint8)
        voxels[4:10, 4:10, 4 + n : 10] = 1
        (tmp_path / rater).mkdir()
        nibabel.save(nibabel.Nifti1Image(voxels, network.affine), tmp_path / rater / f"{name}_mask.nii.gz")
    out = tmp_path / "out"
    assert call(capsys, "consensus", *(tmp_path / rater for rater in RATERS), "--out", out).code == 0
    assert call(capsys, "correct", results, scans, "--masks", out).code == 0
    wanted = _voxels(out / f"{name}_mask.nii.gz")
    assert wanted.any() and (_voxels(results / f"{name}_mask.nii.gz") == wanted).all()
