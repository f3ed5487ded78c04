"""Edited masks come home: onto the scan's grid, measured anew, with nothing lost."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
import pytest

from cli.call import call
from corpus.files import IMAGE, nifti, packed
from insula.errors import IOFault
from insula.predict import ResultRecord
from insula.serve.study import StudyFolder
from insula.study import FlatResults, Overview, ScanSources, correct_case

Capture = pytest.CaptureFixture[str]
NAME = "sub-a_T1w"
ORDERS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


@pytest.fixture(scope="module")
def segmented() -> list[Path]:
    """Where the first test has segmented, and the others copy from."""
    return []


@pytest.fixture
def results(
    segmented: list[Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path, capsys: Capture
) -> Path:
    """A folder of results of one scan, which lies in `scans`."""
    if not segmented:
        scans = tmp_path_factory.mktemp("segmented") / "scans"
        scans.mkdir()
        (scans / f"{NAME}.nii.gz").write_bytes(packed(nifti(IMAGE)))
        options = ("--out", scans.parent / "results", "--weights", tiny_weights, "--device", "cpu")
        assert call(capsys, "segment", scans, *options).code == 0
        segmented.append(scans.parent)
    shutil.copytree(segmented[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "results"


def _record(results: Path) -> dict[str, Any]:
    return json.loads((results / f"{NAME}.json").read_text(encoding="utf-8"))


def _row(results: Path) -> dict[str, str]:
    with (results / "results.tsv").open(encoding="utf-8", newline="") as table:
        return next(csv.DictReader(table, delimiter="\t"))


def _voxels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj) > 0


def _edited(results: Path, *, marked: int = 1) -> nibabel.Nifti1Image:
    """The network's mask with its first lesion voxels removed and a cube added, as an editor saves it."""
    image = nibabel.load(results / f"{NAME}_mask.nii.gz")
    voxels = (np.asarray(image.dataobj) > 0).astype(np.uint8) * marked
    voxels[tuple(np.argwhere(voxels)[:5].T)] = 0
    voxels[:4, :4, :4] = marked
    return nibabel.Nifti1Image(voxels, image.affine)


def test_an_edited_mask_is_measured_and_marked_and_the_networks_is_kept(results: Path, capsys: Capture) -> None:
    mask, before = results / f"{NAME}_mask.nii.gz", _record(results)
    network, edited = _voxels(mask), _edited(results)
    nibabel.save(edited, mask)
    result = call(capsys, "correct", results, results.parent / "scans")
    assert result.code == 0 and "corrected by hand" in result.out
    wanted = np.asarray(edited.dataobj) > 0
    assert (_voxels(mask) == wanted).all() and (_voxels(results / f"{NAME}_network_mask.nii.gz") == network).all()
    voxel_ml, record, row = before["volume_ml"] / network.sum(), _record(results), _row(results)
    assert record["volume_ml"] == pytest.approx(wanted.sum() * voxel_ml, abs=1e-3)
    correction = record["correction"]
    assert correction["added_ml"] == pytest.approx((wanted & ~network).sum() * voxel_ml, abs=1e-3)
    assert correction["removed_ml"] == pytest.approx((network & ~wanted).sum() * voxel_ml, abs=1e-3)
    assert correction["dice"] == pytest.approx(2 * (wanted & network).sum() / (wanted.sum() + network.sum()), abs=1e-4)
    assert (row["mask"], float(row["network_volume_ml"])) == ("corrected", before["volume_ml"])
    assert float(row["volume_ml"]) == record["volume_ml"] != before["volume_ml"]
    assert "corrected by hand" in (results / f"{NAME}.html").read_text(encoding="utf-8")
    assert record["confidence"]["volume_interval_ml"] is None
    assert not list(results.glob("*_corrected-*"))


def test_the_networks_mask_is_computed_again_where_its_file_was_edited(results: Path, capsys: Capture) -> None:
    first, mask = _record(results), results / f"{NAME}_mask.nii.gz"
    for shift in (0, 1):  # the second correction is one of a corrected mask
        image = _edited(results)
        nibabel.save(nibabel.Nifti1Image(np.roll(np.asarray(image.dataobj), shift, 0), image.affine), mask)
        assert call(capsys, "correct", results, results.parent / "scans").code == 0
        assert _record(results)["correction"]["network_volume_ml"] == first["volume_ml"]


def test_a_correction_outlives_every_later_run(results: Path, tiny_weights: Path, capsys: Capture) -> None:
    scans, mask = results.parent / "scans", results / f"{NAME}_mask.nii.gz"
    nibabel.save(_edited(results), mask)
    call(capsys, "correct", results, scans)
    corrected, options = mask.read_bytes(), ("--out", results, "--weights", tiny_weights, "--device", "cpu")
    assert "corrected by hand; kept" in call(capsys, "segment", scans, *options).out
    assert mask.read_bytes() == corrected and _row(results)["mask"] == "corrected"
    call(capsys, "segment", scans, *options, "--again")
    (aside,) = results.glob("*_corrected-*_mask.nii.gz")
    assert aside.read_bytes() == corrected and _row(results)["mask"] == "network"
    assert not (results / f"{NAME}_network_mask.nii.gz").exists()


def test_an_earlier_correction_is_renamed_by_the_next(results: Path, capsys: Capture) -> None:
    scans, mask, masks = results.parent / "scans", results / f"{NAME}_mask.nii.gz", results.parent / "masks"
    nibabel.save(_edited(results), mask)
    call(capsys, "correct", results, scans)
    earlier = mask.read_bytes()
    masks.mkdir()
    image = _edited(results)
    nibabel.save(nibabel.Nifti1Image(np.zeros_like(np.asarray(image.dataobj)), image.affine), masks / f"{NAME}_ed.nii")
    nibabel.save(image, masks / "other.nii")
    result = call(capsys, "correct", results, scans, "--masks", masks)
    assert result.code == 0 and "1 of the masks belong to no case: other.nii" in result.err
    (aside,) = results.glob("*_corrected-*_mask.nii.gz")
    assert aside.read_bytes() == earlier and aside.name in result.err
    assert _record(results)["reason"] == "the corrected mask is empty"
    assert "is the present one" in call(capsys, "correct", results, scans, "--masks", masks).out


@pytest.mark.long
@pytest.mark.parametrize("label", [None, 3])
def test_a_correction_that_a_newer_one_replaced_is_not_taken_again(
    label: int | None, results: Path, tiny_weights: Path, capsys: Capture, tmp_path: Path
) -> None:
    scans, mask = results.parent / "scans", results / f"{NAME}_mask.nii.gz"
    image, options = _edited(results, marked=label or 1), () if label is None else ("--label", label)
    old = np.asarray(image.dataobj).copy()
    if label is not None:
        old[9:11, 9:11, 9:11] = label + 1
    first, second = results / f"{NAME}_corrected.nii.gz", tmp_path / "second.nii"
    nibabel.save(nibabel.Nifti1Image(old, image.affine), first)
    newer = np.roll(np.asarray(image.dataobj) > 0, 2, axis=0)
    nibabel.save(nibabel.Nifti1Image(newer.astype(np.uint8), image.affine), second)
    assert call(capsys, "correct", results, scans, *options).code == 0
    assert "is the present one" in call(capsys, "correct", results, scans, *options).out
    study = StudyFolder(results, [str(scans)], views=tmp_path / "views")
    assert study.correct(NAME, second).outcome == "corrected"
    study.close()
    assert "holds no mask that was edited" in call(capsys, "correct", results, scans, *options).err
    assert (_voxels(mask) == newer).all()
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / f"{NAME}.nii.gz").write_bytes(first.read_bytes())
    assert call(capsys, "correct", results, scans, "--masks", masks, *options).code == 0
    assert (_voxels(mask) == (old == (label or 1))).all()
    segment = ("segment", scans, "--out", results, "--weights", tiny_weights, "--device", "cpu", "--again")
    assert call(capsys, *segment).code == 0
    assert "holds no mask that was edited" in call(capsys, "correct", results, scans, *options).err


def test_a_later_edit_in_place_counts_more_than_the_file_that_was_taken(results: Path, capsys: Capture) -> None:
    scans, beside = results.parent / "scans", results / f"{NAME}_corrected.nii.gz"
    nibabel.save(_edited(results), beside)
    assert call(capsys, "correct", results, scans).code == 0
    image = nibabel.load(beside)
    voxels = np.asarray(image.dataobj).copy()
    voxels[:2, :4, :4] = 0
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), results / f"{NAME}_mask.nii.gz")
    assert call(capsys, "correct", results, scans).code == 0
    assert (_voxels(results / f"{NAME}_mask.nii.gz") == (voxels > 0)).all()
    voxels[-4:, :4, :4] = 1  # two edits, none of which was taken, stay unclear
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), results / f"{NAME}_mask.nii.gz")
    voxels[:, -4:, :4] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), beside)
    assert "leave one of them" in call(capsys, "correct", results, scans).err


@pytest.mark.long
def test_a_correction_that_only_segment_set_aside_is_taken_again(
    results: Path, tiny_weights: Path, capsys: Capture
) -> None:
    scans, corrected = results.parent / "scans", results / f"{NAME}_corrected.nii.gz"
    nibabel.save(_edited(results), corrected)
    assert call(capsys, "correct", results, scans).code == 0
    again = ("segment", scans, "--out", results, "--weights", tiny_weights, "--device", "cpu", "--again")
    assert call(capsys, *again).code == 0
    assert list(results.glob("*_corrected-*_mask.nii.gz")) and _row(results)["mask"] == "network"
    assert call(capsys, "correct", results, scans).code == 0
    assert _row(results)["mask"] == "corrected"
    assert (_voxels(results / f"{NAME}_mask.nii.gz") == _voxels(corrected)).all()


@pytest.mark.parametrize("orders", [ORDERS[7:48:20], pytest.param(ORDERS, marks=pytest.mark.long)], ids=["some", "all"])
def test_masks_come_home_from_every_axis_order(results: Path, capsys: Capture, orders: list[Any]) -> None:
    scan, masks = nibabel.load(results.parent / "scans" / f"{NAME}.nii.gz"), results.parent / "masks"
    edited = _edited(results)
    for shift, (axes, signs) in enumerate(orders):
        wanted = np.roll(np.asarray(edited.dataobj), shift, axis=2)
        turned = nibabel.Nifti1Image(wanted, edited.affine).as_reoriented(np.array([axes, signs]).T)
        masks.mkdir(exist_ok=True)
        nibabel.save(turned, masks / f"{NAME}.nii.gz")
        assert call(capsys, "correct", results, results.parent / "scans", "--masks", masks).code == 0
        home = nibabel.load(results / f"{NAME}_mask.nii.gz")
        assert (np.asarray(home.dataobj) == wanted).all()
        assert home.affine.tobytes() == scan.affine.tobytes()


def test_simpleitk_may_edit_a_mask(results: Path, capsys: Capture) -> None:
    sitk = pytest.importorskip("SimpleITK")
    mask = results / f"{NAME}_mask.nii.gz"
    image = sitk.ReadImage(str(mask))
    wanted = _voxels(mask)
    wanted[2:6, 3:7, 4:8] = True
    image[2:6, 3:7, 4:8] = 1
    sitk.WriteImage(image, str(results / f"{NAME}_corrected.nii.gz"))
    assert call(capsys, "correct", results, results.parent / "scans").code == 0
    assert (_voxels(mask) == wanted).all()


def test_what_is_no_correction_is_refused_and_changes_nothing(results: Path, capsys: Capture) -> None:
    scans, corrected = results.parent / "scans", results / f"{NAME}_corrected.nii.gz"
    before = {path.name: path.read_bytes() for path in results.glob("sub-*")}

    def refused(image: nibabel.Nifti1Image | None, words: str, *options: object, given: object = scans) -> None:
        if image is not None:
            nibabel.save(image, corrected)
        result = call(capsys, "correct", results, given, *options)
        assert result.code in (65, 66) and words in result.err and result.err.count("\n") == 1
        corrected.unlink(missing_ok=True)
        assert {path.name: path.read_bytes() for path in results.glob("sub-*")} == before

    edited = _edited(results)
    moved = edited.affine.copy()
    moved[0, 3] += 2
    refused(None, "holds no mask that was edited")
    refused(nibabel.Nifti1Image(np.asarray(edited.dataobj), moved), "corrected mask")
    refused(nibabel.Nifti1Image(np.asarray(edited.dataobj)[1:], edited.affine), "corrected mask")
    several = np.asarray(edited.dataobj).copy()
    several[8:9, 8:9, 8:9] = 5
    refused(nibabel.Nifti1Image(several, edited.affine), "--label")
    other = results.parent / "other"
    other.mkdir()
    (other / f"{NAME}.nii.gz").write_bytes(packed(nifti(np.roll(IMAGE, 1, axis=1))))
    refused(edited, "is not among the scans", given=other)
    nibabel.save(edited, results / f"{NAME}_corrected.nii")
    nibabel.save(edited, corrected)
    result = call(capsys, "correct", results, scans)
    assert result.code == 65 and "leave one of them" in result.err


def _files(folder: Path) -> dict[str, bytes]:
    """The content of all files but tables, index and lock."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(("results", "lesions"))]
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in files
        if file.name not in (".insula.lock", "index.html", "columns.json")
    }


@pytest.mark.parametrize(
    ("failing", "place"),
    [
        ("insula.predict.write.write_text", "beside"),  # the page, after the masks
        pytest.param("insula.study.layout.write_case", "beside", marks=pytest.mark.long),
        pytest.param("insula.study.layout.write_case", "in place", marks=pytest.mark.long),
        pytest.param("insula.predict.write.write_prob", "in place", marks=pytest.mark.long),
    ],
)
def test_a_write_that_fails_leaves_every_file_as_it_was(
    failing: str, place: str, results: Path, capsys: Capture
) -> None:
    edited = results / f"{NAME}_{'mask' if place == 'in place' else 'corrected'}.nii.gz"
    nibabel.save(_edited(results), edited)
    before = _files(results)

    def full(*_: object, **__: object) -> None:
        raise IOFault("the mask", "x", "could not be written: the disk is full", "free some space")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failing, full)
        assert call(capsys, "correct", results, results.parent / "scans").code == 74
    assert _files(results) == before
    network = (results / f"{NAME}_mask.nii.gz").read_bytes()
    assert call(capsys, "correct", results, results.parent / "scans").code == 0
    record = _record(results)
    assert record["correction"] is not None and not [f for f in record["flags"] if f["code"] == "network-mask-lost"]
    if place == "beside":
        assert (results / f"{NAME}_network_mask.nii.gz").read_bytes() == network


def test_tables_that_a_stop_left_old_are_written_by_the_next_call(results: Path, capsys: Capture) -> None:
    nibabel.save(_edited(results), results / f"{NAME}_mask.nii.gz")
    old = _row(results)["volume_ml"]
    writes = iter([Overview.write])

    def stops(overview: Overview) -> None:
        next(writes, _interrupt)(overview)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Overview, "write", stops)
        assert call(capsys, "correct", results, results.parent / "scans").code == 130
    assert float(_row(results)["volume_ml"]) == float(old) != _record(results)["volume_ml"]
    assert "holds no mask that was edited" in call(capsys, "correct", results, results.parent / "scans").err
    assert float(_row(results)["volume_ml"]) == _record(results)["volume_ml"]


def _interrupt(_: object) -> None:
    raise KeyboardInterrupt


def test_the_mask_of_a_refused_case_is_no_other_case_s(
    results: Path, tmp_path: Path, tiny_weights: Path, capsys: Capture
) -> None:
    scans = results.parent / "scans"
    damaged = scans / f"{NAME}_day2.nii.gz"
    damaged.write_bytes(b"damaged")
    assert call(capsys, "segment", damaged, "--out", results, "--weights", tiny_weights, "--device", "cpu").code == 65
    (tmp_path / "edited").mkdir()
    nibabel.save(_edited(results), tmp_path / "edited" / f"{NAME}_day2_mask.nii.gz")
    assert call(capsys, "correct", results, scans, "--masks", tmp_path / "edited").code == 66
    assert _record(results).get("correction") is None


@pytest.mark.long
def test_what_was_odd_about_an_earlier_mask_is_not_said_of_a_later_one(results: Path, capsys: Capture) -> None:
    for marked, odd in ((3, 1), (3, 1), (1, 0)):
        image = _edited(results, marked=marked)
        voxels = np.asarray(image.dataobj).copy()
        voxels[-2, -2, -2] = 0 if voxels[-2, -2, -2] else marked  # another mask than the one before
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine), results / f"{NAME}_mask.nii.gz")
        assert call(capsys, "correct", results, results.parent / "scans").code == 0
        codes = [flag["code"] for flag in _record(results)["flags"]]
        assert (codes.count("mask-scaled"), codes.count("corrected")) == (odd, 1)


def test_a_mask_that_was_edited_but_not_measured_is_never_the_same(results: Path, tmp_path: Path) -> None:
    mask, record = results / f"{NAME}_mask.nii.gz", _record(results)
    nibabel.save(_edited(results), mask)
    nibabel.save(_edited(results), tmp_path / "sent.nii")
    sources = ScanSources([str(results.parent / "scans")])
    outcome = correct_case(FlatResults(results), cast(ResultRecord, record), tmp_path / "sent.nii", sources)
    assert outcome.outcome == "corrected" and outcome.set_aside is not None
    assert _record(results)["volume_ml"] != record["volume_ml"]
    record = _record(results)
    assert (
        correct_case(FlatResults(results), cast(ResultRecord, record), tmp_path / "sent.nii", sources).outcome == "same"
    )
