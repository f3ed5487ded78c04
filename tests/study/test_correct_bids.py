"""Edited masks come home into a BIDS derivative, which stays valid."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import nibabel
import numpy as np
import pytest

from cli.call import CommandResult, call
from corpus.files import IMAGE, nifti, packed
from insula.cli.bids import main as bids_main
from insula.errors import IOFault
from insula.io import FolderInUse, OutputFolder
from insula.io.bytes import read_file
from insula.study import (
    BidsResults,
    FlatResults,
    ScanSources,
    correct_case,
    correct_study,
    earlier_records,
    results_in,
)

Capture = pytest.CaptureFixture[str]
CASES = ("sub-1_ses-a", "sub-2")
SIDECAR = {
    "mask": "_label-L_desc-insula_mask",
    "network": "_label-L_desc-network_mask",
    "map": "_seg-lesions_desc-insula_dseg",
}


def _participant(out: Path, weights: Path, capsys: Capture, *options: str) -> CommandResult:
    arguments = [str(out.parents[1]), str(out), "participant", "--weights", str(weights), "--device", "cpu", *options]
    with mock.patch("sys.argv", ["insula-bids", *arguments]), pytest.raises(SystemExit) as end:
        bids_main()
    printed = capsys.readouterr()
    return CommandResult(int(end.value.code or 0), printed.out, printed.err)


@pytest.fixture(scope="module")
def segmented() -> list[Path]:
    """Where the first test has segmented, and the others copy from."""
    return []


@pytest.fixture
def out(
    segmented: list[Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    brain_weights: Path,
    capsys: Capture,
) -> Path:
    """A derivative of two scans, inside its dataset."""
    if not segmented:
        segmented.append(_derivative(tmp_path_factory.mktemp("segmented") / "raw", brain_weights, capsys))
    shutil.copytree(segmented[0], tmp_path / "raw")
    return tmp_path / "raw" / "derivatives" / "insula"


def _derivative(raw: Path, brain_weights: Path, capsys: Capture) -> Path:
    for number, name in enumerate(("sub-1/ses-a/anat/sub-1_ses-a_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz")):
        scan = raw / name
        scan.parent.mkdir(parents=True)
        scan.write_bytes(packed(nifti(np.roll(IMAGE, number, axis=1))))
    facts = {"Name": "phantoms", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["phantom"]}
    (raw / "dataset_description.json").write_text(json.dumps(facts))
    (raw / "README").write_text("Phantoms, made by a test; nobody was scanned.\n" * 5)
    assert _participant(raw / "derivatives" / "insula", brain_weights, capsys).code == 0
    return raw


def _file(out: Path, ending: str, case: str = "sub-2") -> Path:
    return BidsResults(out).paths(case).mask.with_name(f"{case}_space-orig{ending}")


def _mask(out: Path, case: str = "sub-2") -> Path:
    return BidsResults(out).paths(case).mask


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "results.tsv").open(encoding="utf-8", newline="") as table:
        return {row["case"]: row for row in csv.DictReader(table, delimiter="\t")}


def _voxels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj) > 0


def _edited(mask: Path, *, size: int = 4) -> nibabel.Nifti1Image:
    """A mask with its first lesion voxels removed and a cube added, as an editor saves it."""
    image = nibabel.load(mask)
    voxels = (np.asarray(image.dataobj) > 0).astype(np.uint8)
    voxels[tuple(np.argwhere(voxels)[:5].T)] = 0
    voxels[:size, :size, :size] = 1
    return nibabel.Nifti1Image(voxels, image.affine)


def _errors(folder: Path) -> list[object]:
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, folder, "--format", "json"], capture_output=True, text=True, timeout=120)
    return [issue for issue in json.loads(done.stdout)["issues"]["issues"] if issue["severity"] == "error"]


def test_a_mask_edited_in_place_is_measured_marked_and_kept_by_the_next_run(
    out: Path, brain_weights: Path, capsys: Capture
) -> None:
    mask, raw = _mask(out), out.parents[1]
    network, edited, other = mask.read_bytes(), _edited(mask), _mask(out, CASES[0]).read_bytes()
    before, network_voxels = _json(_file(out, "_desc-insula_record.json")), _voxels(mask)
    nibabel.save(edited, mask)
    result = call(capsys, "correct", out, raw)
    assert (result.code, result.err) == (0, "") and result.out.startswith("sub-2: ") and "by hand" in result.out
    wanted = np.asarray(edited.dataobj) > 0
    assert (_voxels(mask) == wanted).all()
    assert _file(out, f"{SIDECAR['network']}.nii.gz").read_bytes() == network
    record, row = _json(_file(out, "_desc-insula_record.json")), _rows(out)["sub-2"]
    voxel_ml, correction = before["volume_ml"] / network_voxels.sum(), record["correction"]
    assert correction["added_ml"] == pytest.approx((wanted & ~network_voxels).sum() * voxel_ml, abs=1e-3)
    assert correction["removed_ml"] == pytest.approx(5 * voxel_ml, abs=1e-3)
    assert correction["network_volume_ml"] == before["volume_ml"]
    assert (row["mask"], float(row["network_volume_ml"])) == ("corrected", before["volume_ml"])
    assert float(row["volume_ml"]) == record["volume_ml"] == pytest.approx(wanted.sum() * voxel_ml, abs=1e-3)
    assert _rows(out)[CASES[0]]["mask"] == "network" and _mask(out, CASES[0]).read_bytes() == other
    assert "corrected by hand" in (out / "sub-2.html").read_text(encoding="utf-8")
    sidecars = {kind: _json(_file(out, f"{ending}.json")) for kind, ending in SIDECAR.items()}
    assert {kind: facts.get("Manual") for kind, facts in sidecars.items()} == {
        "mask": True,
        "network": None,
        "map": True,
    }
    assert all(facts["Sources"] == ["bids:raw:sub-2/anat/sub-2_T1w.nii.gz"] for facts in sidecars.values())
    assert f"Dice {correction['dice']:g} with the network's" in sidecars["mask"]["Description"]
    assert "Threshold" not in sidecars["mask"] and sidecars["network"]["Threshold"] == before["threshold"]
    labels = np.asarray(nibabel.load(_file(out, f"{SIDECAR['map']}.nii.gz")).dataobj)
    assert (labels > 0).tolist() == wanted.tolist()
    assert _errors(out) == [] and _errors(raw) == []
    files = {path: path.read_bytes() for path in out.rglob("sub-2_*")}
    again = _participant(out, brain_weights, capsys)
    assert again.code == 0 and "sub-2: corrected by hand; it is kept" in again.out
    assert {path: path.read_bytes() for path in out.rglob("sub-2_*")} == files
    assert _rows(out)["sub-2"]["mask"] == "corrected"


@pytest.mark.long
def test_a_mask_beside_is_taken_once_and_the_dataset_stays_valid(
    out: Path, brain_weights: Path, capsys: Capture
) -> None:
    mask, raw, case = _mask(out, CASES[0]), out.parents[1], CASES[0]
    network, edited = mask.read_bytes(), _edited(mask)
    beside = mask.with_name("sub-1_ses-a_space-orig_label-L_desc-corrected_mask.nii.gz")
    nibabel.save(edited, beside)
    assert call(capsys, "correct", out, raw).code == 0
    assert (_voxels(mask) == (np.asarray(edited.dataobj) > 0)).all()
    assert mask.with_name(mask.name.replace("-insula", "-network")).read_bytes() == network
    assert {name: row["mask"] for name, row in _rows(out).items()} == {case: "corrected", "sub-2": "network"}
    assert "is the present one" in call(capsys, "correct", out, raw).out
    assert _errors(out) == []
    shutil.copy(mask, out.parents[2] / f"{case}_newer.nii.gz")
    nibabel.save(_edited(mask, size=6), out.parents[2] / f"{case}_newer.nii.gz")
    assert call(capsys, "correct", out, raw, "--masks", out.parents[2] / f"{case}_newer.nii.gz").code == 65  # two masks
    beside.unlink()
    assert call(capsys, "correct", out, raw, "--masks", out.parents[2] / f"{case}_newer.nii.gz").code == 0
    nibabel.save(edited, beside)
    assert "holds no mask that was edited" in call(capsys, "correct", out, raw).err  # the newer one took its place
    again = _participant(out, brain_weights, capsys, "--again")
    assert again.code == 0 and f"{case}: the corrected mask is now {case}_space-orig" in again.err
    assert mask.read_bytes() == network and _rows(out)[case]["mask"] == "network"
    assert not list(out.rglob("*_desc-network_*")) and len(list(out.rglob("*_corrected-*_mask.nii.gz"))) == 2


def test_masks_of_a_folder_are_taken_by_the_scans_names_and_an_earlier_correction_is_renamed(
    out: Path, capsys: Capture, tmp_path: Path
) -> None:
    raw, masks, earlier = out.parents[1], tmp_path / "masks", {}
    masks.mkdir()
    images = {case: _edited(_mask(out, case)) for case in CASES}
    for name in ("sub-1_ses-a_T1w.nii.gz", "sub-2_space-orig_label-L_desc-insula_mask.nii.gz"):
        nibabel.save(images[CASES[0] if "ses-a" in name else "sub-2"], masks / name)
    for name in ("sub-1_ses-b_T1w.nii.gz", "sub-2_run-2_T1w.nii.gz", "sub-22_T1w.nii.gz", "sub-1_T1w.nii.gz"):
        nibabel.save(_edited(_mask(out), size=7), masks / name)
    result = call(capsys, "correct", out, raw, "--masks", masks)
    assert result.code == 0 and "4 of the masks belong to no case" in result.err
    for case in CASES:
        assert (_voxels(_mask(out, case)) == (np.asarray(images[case].dataobj) > 0)).all()
        earlier[case] = _mask(out, case).read_bytes()
    shutil.rmtree(masks)
    masks.mkdir()
    nibabel.save(_edited(_mask(out), size=6), masks / "sub-2.nii")
    result = call(capsys, "correct", out, raw, "--masks", masks)
    (aside,) = out.rglob("*_corrected-*_mask.nii.gz")
    assert result.code == 0 and aside.name in result.err and aside.read_bytes() == earlier["sub-2"]
    assert _mask(out, CASES[0]).read_bytes() == earlier[CASES[0]]
    assert _errors(out) == []


def test_a_mask_on_another_grid_is_refused_in_one_line_and_changes_nothing(out: Path, capsys: Capture) -> None:
    edited, beside = _edited(_mask(out)), _file(out, "_label-L_desc-corrected_mask.nii.gz")
    before = {path: path.read_bytes() for path in out.rglob("sub-*") if path.is_file()}
    moved = edited.affine.copy()
    moved[0, 3] += 2
    for image in (nibabel.Nifti1Image(edited.dataobj, moved), nibabel.Nifti1Image(edited.dataobj[1:], edited.affine)):
        nibabel.save(image, beside)
        result = call(capsys, "correct", out, out.parents[1])
        assert result.code == 65 and result.err.count("\n") == 1
        assert result.err.startswith("insula: sub-2: the corrected mask")
        beside.unlink()
        assert {path: path.read_bytes() for path in out.rglob("sub-*") if path.is_file()} == before


def test_a_subject_that_another_run_writes_waits_and_the_others_are_corrected(out: Path, capsys: Capture) -> None:
    edited = {case: _edited(_mask(out, case)) for case in CASES}
    for case, image in edited.items():
        nibabel.save(image, _mask(out, case))
    with OutputFolder(out / "sub-1"):
        result = call(capsys, "correct", out, out.parents[1])
    assert result.code == 1 and result.err.startswith("insula: sub-1_ses-a: ") and result.err.count("\n") == 1
    assert {case: row["mask"] for case, row in _rows(out).items()} == {CASES[0]: "network", "sub-2": "corrected"}
    assert call(capsys, "correct", out, out.parents[1]).code == 0
    assert (_voxels(_mask(out, CASES[0])) == (np.asarray(edited[CASES[0]].dataobj) > 0)).all()


def test_the_index_and_verdicts_are_of_the_corrected_mask(out: Path, capsys: Capture) -> None:
    nibabel.save(_edited(_mask(out)), _mask(out))
    assert call(capsys, "correct", out, out.parents[1]).code == 0
    result = call(capsys, "review", out)
    assert result.code == 0 and result.out.startswith("0 of 2 cases reviewed")
    index = (out / "index.html").read_text(encoding="utf-8")
    assert _json(_file(out, "_desc-insula_record.json"))["sha256"]["mask"] in index
    assert _rows(out)["sub-2"]["mask"] == "corrected"


def test_a_folder_with_records_of_its_own_is_flat(out: Path) -> None:
    assert isinstance(results_in(out), BidsResults)
    shutil.copy(_file(out, "_desc-insula_record.json"), out / "sub-2.json")
    assert isinstance(results_in(out), FlatResults)


def test_scans_need_not_be_named_while_the_dataset_is_where_it_was(out: Path, capsys: Capture, tmp_path: Path) -> None:
    wanted = _edited(_mask(out))
    nibabel.save(wanted, _mask(out))
    shutil.copy(_mask(out, CASES[0]), _mask(out).with_name("sub-2_label-lesion_mask.nii.gz"))
    moved, raw = shutil.copytree(out, tmp_path / "moved" / "x" / "y"), out.parents[1]
    result = call(capsys, "correct", out)
    assert result.code == 0 and "sub-2: " in result.out
    assert result.err.endswith(
        "passed over: 1 lesion mask (sub-2_label-lesion_mask.nii.gz) without a record by insula\n"
    )
    assert (_voxels(_mask(out)) == (np.asarray(wanted.dataobj) > 0)).all()
    lost = call(capsys, "correct", moved)
    assert (
        lost.code == 66 and "sub-2/anat/sub-2_T1w.nii.gz, in the dataset" in lost.err and "does not exist" in lost.err
    )
    assert call(capsys, "correct", moved, raw).code == 0
    assert (_voxels(_mask(moved)) == _voxels(_mask(out))).all()


def test_the_dataset_in_place_of_its_derivative_is_refused_with_the_folder_that_is_meant(
    out: Path, capsys: Capture
) -> None:
    raw = out.parents[1]
    for command in (("correct", raw, raw), ("review", raw)):
        result = call(capsys, *command)
        assert (result.code, result.err.count("\n")) == (66, 1)
        assert f"is the dataset, not the derivative of it; name {out}" in result.err


@pytest.mark.parametrize("failing", ["insula.report.case.render_page", "insula.predict.bids_files.write_labels"])
def test_a_correction_that_fails_leaves_every_file_as_it_was(failing: str, out: Path, tmp_path: Path) -> None:
    results = BidsResults(out)
    record = earlier_records(results)["sub-2"]
    assert record["outcome"] == "done"
    nibabel.save(_edited(_file(out, SIDECAR["mask"] + ".nii.gz")), tmp_path / "sub-2_mask.nii.gz")
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}

    def full(*_: object, **__: object) -> None:
        raise IOFault("the file", "x", "could not be written: the disk is full", "free some space")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failing, full)
        with pytest.raises(IOFault):
            correct_case(results, record, tmp_path / "sub-2_mask.nii.gz", ScanSources([str(out.parents[1])]))
    assert before.items() <= {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}.items()
    assert not _file(out, SIDECAR["network"] + ".nii.gz").exists()


def test_nobody_else_holds_the_folder_while_a_page_is_written(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes a folder's lock removes unfinished files in it; pages are written under another lock, and beside it."""
    results, tried = BidsResults(out), list[bool]()

    def write(path: Path, text: str) -> None:
        if path.suffix == ".html":
            with pytest.raises(FolderInUse), results.lock_tables(0):
                tried.append(False)
            tried.append(True)
        path.write_text(text)

    monkeypatch.setattr("insula.predict.bids_files.write_text", write)
    mask = _file(out, SIDECAR["mask"] + ".nii.gz")
    nibabel.save(_edited(mask), mask)
    assert [outcome.outcome for outcome in correct_study(out, [])] == ["corrected"]
    assert tried == [True]


def test_a_case_that_another_run_wrote_meanwhile_is_left_as_it_is(out: Path) -> None:
    """In a derivative the other cases may change while one is corrected."""
    for case in CASES:
        mask = _file(out, SIDECAR["mask"] + ".nii.gz", case)
        nibabel.save(_edited(mask), mask)
    outcomes = correct_study(out, [])
    first = next(outcomes)
    other = next(case for case in CASES if case != first.case)
    mask = _file(out, SIDECAR["mask"] + ".nii.gz", other)
    record = BidsResults(out).paths(other).record
    facts = json.loads(record.read_text())
    facts["sha256"]["mask"] = read_file(mask).sha256
    record.write_text(json.dumps(facts))
    (second,) = outcomes
    assert (first.outcome, second.outcome) == ("corrected", "failed")
    assert "were written by another run meanwhile" in str(second.error)
    assert json.loads(record.read_text()) == facts and not list(out.rglob("*_corrected-*"))
