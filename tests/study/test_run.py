"""A study in several runs: what is done stays, what is new is added, what failed is tried again."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from cli.call import call
from corpus.files import IMAGE, nifti, packed
from insula.predict import review_score

Capture = pytest.CaptureFixture[str]


def _scans(folder: Path, names: str) -> None:
    folder.mkdir(exist_ok=True)
    for n, name in enumerate(names):
        (folder / f"sub-{name}_T1w.nii.gz").write_bytes(packed(nifti(np.roll(IMAGE, n, axis=1))))


def _rows(out: Path, name: str = "results") -> list[dict[str, str]]:
    with (out / f"{name}.tsv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def _files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("sub-*"))}


def _change(mask: Path) -> bytes:
    """Corrects a mask as an editor would, and returns the file's bytes."""
    image = nibabel.load(mask)
    voxels = np.asarray(image.dataobj).copy()
    voxels[:3, :3, :3] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), mask)
    return mask.read_bytes()


def test_a_second_run_adds_to_the_first_and_repeats_nothing(
    tmp_path: Path, tiny_weights: Path, capsys: Capture
) -> None:
    out, options = tmp_path / "out", ("--weights", tiny_weights, "--device", "cpu")
    _scans(tmp_path / "scans", "ab")
    assert call(capsys, "segment", tmp_path / "scans", "--out", out, *options).code == 0
    before = {name: (out / name).stat().st_mtime_ns for name in _files(out)}
    _scans(tmp_path / "more", "xyc")
    result = call(capsys, "segment", tmp_path / "scans", tmp_path / "more", "--out", out, *options)
    assert result.out.count("(unchanged)") == 2
    assert [row["subject"] for row in _rows(out)] == ["a", "b", "c", "x", "y"]
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    alone = call(capsys, "segment", tmp_path / "more" / "sub-x_T1w.nii.gz", "--out", out, *options)
    assert "(unchanged)" in alone.out
    assert len(_rows(out)) == 5  # the table is of the folder, not of the run
    assert (out / "index.html").read_text().count("_T1w.html") >= 5


@pytest.mark.parametrize(
    "change",
    ["threshold", *(pytest.param(c, marks=pytest.mark.long) for c in ("scan", "again", "page", "weights", "sidecar"))],
)
def test_whatever_changed_is_computed_again(
    change: str, tmp_path: Path, tiny_weights: Path, brain_weights: Path, capsys: Capture
) -> None:
    out, scans = tmp_path / "out", tmp_path / "scans"
    _scans(scans, "a")
    command = ["segment", scans, "--out", out, "--device", "cpu", "--weights", tiny_weights]
    call(capsys, *command)
    if change == "threshold":
        command += ["--threshold", "0.9"]
    elif change == "scan":
        (scans / "sub-a_T1w.nii.gz").write_bytes(packed(nifti(np.roll(IMAGE, 3, axis=0))))
    elif change == "again":
        command += ["--again"]
    elif change == "weights":
        command[-1] = brain_weights
    elif change == "sidecar":
        (scans / "sub-a_T1w.json").write_text('{"ScanningSequence": "SE"}')
    else:
        (out / "sub-a_T1w.html").unlink()
    result = call(capsys, *command)
    assert result.code == 0
    assert "(unchanged)" not in result.out
    assert (out / "sub-a_T1w.html").exists() or change == "scan"  # another scan gets another name


def test_a_refused_scan_is_tried_again(tmp_path: Path, tiny_weights: Path, capsys: Capture) -> None:
    out, scan = tmp_path / "out", tmp_path / "sub-a_T1w.nii.gz"
    scan.write_bytes(packed(nifti())[:4000])
    command = ("segment", scan, "--out", out, "--device", "cpu", "--weights", tiny_weights)
    assert call(capsys, *command).code == 65
    assert _rows(out)[0]["outcome"] == "refused"
    assert _rows(out, "lesions") == []
    scan.write_bytes(packed(nifti()))
    assert call(capsys, *command).code == 0
    assert [row["outcome"] for row in _rows(out)] == ["done"]


@pytest.mark.parametrize("next_run", [pytest.param("same", marks=pytest.mark.long), "other threshold", "damaged scan"])
def test_a_corrected_mask_is_never_replaced(next_run: str, tmp_path: Path, tiny_weights: Path, capsys: Capture) -> None:
    out, scan = tmp_path / "out", tmp_path / "sub-a_T1w.nii.gz"
    scan.write_bytes(packed(nifti()))
    command = ["segment", scan, "--out", out, "--device", "cpu", "--weights", tiny_weights]
    call(capsys, *command)
    mask = out / "sub-a_T1w_mask.nii.gz"
    corrected = _change(mask)
    if next_run == "other threshold":
        command += ["--threshold", "0.9"]
    if next_run == "damaged scan":
        scan.write_bytes(packed(nifti())[:4000])
        result = call(capsys, *command)
        assert result.code == 65
    else:
        result = call(capsys, *command)
        assert "is kept" in result.out
        assert mask.read_bytes() == corrected
        result = call(capsys, *command, "--again")
    (aside,) = out.glob("*_corrected-*_mask.nii.gz")
    assert aside.read_bytes() == corrected
    assert aside.name in result.err
    assert not mask.exists() or mask.read_bytes() != corrected


def test_a_mask_that_cannot_be_read_is_not_replaced(tmp_path: Path, tiny_weights: Path, capsys: Capture) -> None:
    out, scan = tmp_path / "out", tmp_path / "sub-a_T1w.nii.gz"
    scan.write_bytes(packed(nifti()))
    command = ("segment", scan, "--out", out, "--device", "cpu", "--weights", tiny_weights)
    call(capsys, *command)
    mask = out / "sub-a_T1w_mask.nii.gz"
    mask.unlink()
    mask.symlink_to(mask)  # as unreadable for root as for anyone
    result = call(capsys, *command)
    assert result.code not in (0, 65)
    assert mask.name in result.err
    assert len(result.err.splitlines()) == 1
    assert mask.is_symlink()
    assert json.loads((out / "sub-a_T1w.json").read_text())["outcome"] == "done"


def test_numbers_in_the_tables_are_those_of_the_records(tmp_path: Path, brain_weights: Path, capsys: Capture) -> None:
    out, scan = tmp_path / "out", tmp_path / "sub-a_ses-1_acq-fast_T1w.nii.gz"
    scan.write_bytes(packed(nifti()))
    call(capsys, "segment", scan, "--out", out, "--device", "cpu", "--weights", brain_weights)
    record, (row,) = json.loads((out / "sub-a_ses-1_acq-fast_T1w.json").read_text()), _rows(out)
    assert (row["subject"], row["session"], row["entities"]) == ("a", "1", "acq-fast")
    assert float(row["volume_ml"]) == record["volume_ml"]
    assert row["volume_low_ml"] == ""  # these weights have no interval
    assert row["scan_sha256"] == record["scan"]["sha256"]
    review = review_score(record)
    assert (row["review_score"], row["review_reasons"]) == (f"{review.score:.3f}", "; ".join(review.reasons))
    lesions = _rows(out, "lesions")
    assert [float(lesion["lesion_volume_ml"]) for lesion in lesions] == [one["volume_ml"] for one in record["lesions"]]
    assert [float(lesions[0][f"{axis}_mm"]) for axis in "xyz"] == record["lesions"][0]["centre_mm"]
    for name in ("results", "lesions"):
        columns = json.loads((out / f"{name}.json").read_text())
        assert list(columns) == list(_rows(out, name)[0])
        assert all(column["Description"] for column in columns.values())


def test_a_case_named_like_a_table_has_a_record_of_its_own(tmp_path: Path, tiny_weights: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    (tmp_path / "results.nii.gz").write_bytes(packed(nifti()))
    call(capsys, "segment", tmp_path / "results.nii.gz", "--out", out, "--device", "cpu", "--weights", tiny_weights)
    (row,) = _rows(out)
    assert row["case"].startswith("results-")
    assert json.loads((out / f"{row['case']}.json").read_text())["outcome"] == "done"


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, marks=pytest.mark.long),
    ],
)
def test_a_run_that_is_stopped_has_tables_and_the_next_one_goes_on(
    number: int, tmp_path: Path, tiny_weights: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    _scans(tmp_path / "scans", "abcdefgh")
    options = ["segment", str(tmp_path / "scans"), "--out", str(out), "--weights", str(tiny_weights), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "insula", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 120
    while len(list(out.glob("*_T1w.json"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.communicate()
    finished = len(list(out.glob("*_T1w.json")))
    assert finished >= 2
    assert len(_rows(out)) >= finished - 1  # a kill may come between a record and the table
    result = call(capsys, *options)
    assert result.code == 0
    assert result.out.count("(unchanged)") == finished
    assert [row["subject"] for row in _rows(out)] == list("abcdefgh")
