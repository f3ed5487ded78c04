"""The scan of a result is found by its bytes, whatever the files are called, and as the volume that was segmented."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from cli.call import call
from corpus.files import IMAGE, nifti, packed
from insula.errors import NoInput
from insula.predict import ExpectedScan, ResultRecord, open_scan
from insula.study.sources import ScanSources
from io_series import write_head
from report.records import done_record

Capture = pytest.CaptureFixture[str]
VOLUMES = np.stack([IMAGE, np.roll(IMAGE, 3, axis=1), np.roll(IMAGE, 5, axis=0)], axis=-1)


def _scan(path: Path, *, brighter: int = 0) -> ResultRecord:
    path.write_bytes(packed(nifti(IMAGE + IMAGE.dtype.type(brighter))))
    scan, _ = open_scan(path, name="x")
    assert scan.file is not None
    grid = scan.grid
    facts = {"shape": list(grid.shape), "spacing_mm": [1.0] * 3, "axes": grid.axcodes, "affine": grid.affine.tolist()}
    return done_record("sub-a_T1w", scan={**facts, "sha256": scan.file.sha256})


def test_a_scan_is_found_under_another_name(tmp_path: Path) -> None:
    _scan(tmp_path / "sub-a_T1w.nii.gz")
    record = _scan(tmp_path / "renamed_T1w.nii.gz", brighter=3)
    found = ScanSources([str(tmp_path)]).of(record)
    assert found.source == tmp_path / "renamed_T1w.nii.gz"
    assert found.scan.name == "sub-a_T1w"
    assert np.allclose(found.scan.grid.affine, record["scan"]["affine"])


def test_a_scan_that_is_not_there_is_named(tmp_path: Path) -> None:
    record = _scan(tmp_path / "sub-a_T1w.nii.gz")
    _scan(tmp_path / "sub-a_T1w.nii.gz", brighter=3)
    with pytest.raises(NoInput, match="sub-a_T1w is not among the scans"):
        ScanSources([str(tmp_path)]).of(record)
    with pytest.raises(NoInput, match="is not among the scans"):
        ScanSources([]).of(record)


def _segment(capsys: Capture, scans: Path, out: Path, weights: Path, *options: object) -> dict[str, Any]:
    result = call(capsys, "segment", scans, "--out", out, "--weights", weights, "--device", "cpu", *options)
    assert result.code == 0, result.err
    (path,) = (path for path in out.glob("*.json") if path.stem not in ("results", "lesions"))
    return json.loads(path.read_text(encoding="utf-8"))


def _edit(mask: Path) -> np.ndarray:
    """Marks a cube in a mask's file, and returns the voxels."""
    image = nibabel.load(mask)
    voxels = np.asarray(image.dataobj).copy()
    voxels[:4, :4, :4] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), mask)
    return voxels > 0


def test_the_volume_of_a_4d_file_that_was_segmented_is_corrected(
    tmp_path: Path, tiny_weights: Path, capsys: Capture
) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    (scans / "sub-a_T1w.nii.gz").write_bytes(packed(nifti(VOLUMES)))
    record = _segment(capsys, scans, out, tiny_weights, "--frame", 2)
    assert record["scan"]["frame"] == 2
    assert (ScanSources([str(scans)]).of(record).scan.image == VOLUMES[..., 2]).all()  # type: ignore[arg-type]
    wanted = _edit(out / "sub-a_T1w_mask.nii.gz")
    assert call(capsys, "correct", out, scans).code == 0
    after = json.loads((out / "sub-a_T1w.json").read_text(encoding="utf-8"))
    assert after["correction"]["network_volume_ml"] == record["volume_ml"]
    assert after["scan"] == record["scan"]
    assert (np.asarray(nibabel.load(out / "sub-a_T1w_mask.nii.gz").dataobj) == wanted).all()


def test_a_record_that_does_not_state_the_volume_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(packed(nifti(VOLUMES)))
    flag = {"code": "frame-chosen", "text": "", "severity": "note"}
    with pytest.raises(NoInput, match="the record of a does not state the volume of the 4-D file.*segment the scan"):
        ScanSources([str(tmp_path)]).of(done_record("a", flags=[flag]))


def test_a_scan_of_one_volume_states_none(tmp_path: Path, tiny_weights: Path, capsys: Capture) -> None:
    (tmp_path / "a.nii.gz").write_bytes(packed(nifti()))
    record = _segment(capsys, tmp_path / "a.nii.gz", tmp_path / "out", tiny_weights)
    assert set(record["scan"]) == {"shape", "spacing_mm", "axes", "affine", "sha256"}


@pytest.mark.long
def test_the_series_that_was_chosen_is_corrected_under_the_name_that_was_given(
    tmp_path: Path, quiet_weights: Path, capsys: Capture
) -> None:
    exam, out = tmp_path / "exams" / "visit1", tmp_path / "out"
    write_head(exam / "plain", SeriesNumber=3)
    write_head(exam / "other", SeriesNumber=7, SeriesDescription="t1_mprage_tra")
    record = _segment(capsys, exam, out, quiet_weights, "--series", 7, "--names", "folder")
    assert (record["case"], record["scan"]["series"]) == ("visit1", 7)
    _edit(out / "visit1_mask.nii.gz")
    result = call(capsys, "correct", out, exam)
    assert result.code == 0, result.err
    after = json.loads((out / "visit1.json").read_text(encoding="utf-8"))
    assert (after["case"], after["scan"]) == ("visit1", record["scan"])
    assert after["correction"]["network_volume_ml"] == record["volume_ml"]


def test_a_file_that_cannot_be_read_does_not_end_the_search(tmp_path: Path) -> None:
    broken, good = tmp_path / "a_broken.hdr", tmp_path / "z.nii.gz"
    broken.write_bytes(b"0" * 348)  # a pair without its image, looked at first
    good.write_bytes(packed(nifti()))
    sources, record = ScanSources([str(broken), str(good)]), done_record("a_broken")
    with pytest.raises(NoInput, match="not among the scans, but 1 of them cannot be read"):
        sources.of(record)
    record["scan"]["sha256"] = hashlib.sha256(good.read_bytes()).hexdigest()
    found = sources.of(record)
    assert found.source == good
    assert found.scan.name == "a_broken"


def test_the_place_that_a_derivative_names_is_looked_at_first_and_named_if_the_scan_is_not_there(
    tmp_path: Path,
) -> None:
    place, record = tmp_path / "raw" / "sub-1_T1w.nii.gz", done_record("sub-1")
    sources = ScanSources([], expected=lambda case: ExpectedScan(place, f"anat/{case}_T1w.nii.gz", "../raw"))
    where = r"anat/sub-1_T1w.nii.gz, in the dataset that the derivative links to \(\.\./raw\),"
    with pytest.raises(NoInput, match=f"was not found: {where} does not exist; give the folder"):
        sources.of(record)
    place.parent.mkdir()
    place.symlink_to(tmp_path / "annex" / "content")
    with pytest.raises(NoInput, match=f"{where} is a link to a file that is not here"):
        sources.of(record)
    place.unlink()
    place.write_bytes(packed(nifti()))
    with pytest.raises(NoInput, match=f"was not found: {where} was changed since"):
        sources.of(record)
    (tmp_path / "other.nii.gz").write_bytes(packed(nifti(np.roll(IMAGE, 1))))
    with pytest.raises(NoInput, match=f"is not among the scans: {where} was changed"):
        ScanSources([str(tmp_path / "other.nii.gz")], expected=sources._expected).of(record)
    with pytest.raises(NoInput, match="cannot be read"):
        ScanSources([], expected=lambda _: ExpectedScan(Path("a\0b"), "a", "b")).of(record)
    record["scan"]["sha256"] = hashlib.sha256(place.read_bytes()).hexdigest()
    for found in (sources.of(record), sources.anew().of(record)):
        assert (found.source, found.scan.name) == (place, "sub-1")
