"""A folder or a zip of DICOM goes through `insula segment` as a file does, and nobody's name comes out."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest

from cli.call import call
from io_series import CANARY, write_head

Capture = pytest.CaptureFixture[str]
_STEP = 4.0


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """The phantom as a series of axial slices, all of it named as a person."""
    return write_head(tmp_path / "CANARYFOLDER", **CANARY)


@pytest.mark.long
def test_a_folder_and_a_zip_of_it_give_the_same_result(
    series: Path, quiet_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    with zipfile.ZipFile(tmp_path / "CANARYZIP.zip", "w") as packed:
        for file in series.iterdir():
            packed.write(file, f"CANARYMEMBER/{file.name}")
    masks = []
    for number, source in enumerate((series, tmp_path / "CANARYZIP.zip")):
        out = tmp_path / f"out{number}"
        result = call(capsys, "segment", source, "--weights", quiet_weights, "--out", out, "--device", "cpu")
        assert result.code == 0
        assert "CANARY" not in (result.out + result.err).replace(str(tmp_path), "")
        (mask,) = out.glob("dicom-*_mask.nii.gz")
        masks.append(np.asarray(nib.load(mask).dataobj))
        record = json.loads(mask.with_name(mask.name.replace("_mask.nii.gz", ".json")).read_text())
        assert record["case"] == mask.name.removesuffix("_mask.nii.gz")
        assert record["scan"]["axes"] == "LPS"
        for path in out.rglob("*"):
            assert "CANARY" not in path.name
            assert path.suffix == ".dcm" or b"CANARY" not in path.read_bytes()  # an object of a study names its patient
        seg = hd.seg.segread(out / record["files"]["seg"])
        assert seg.PatientID == CANARY["PatientID"]
        assert seg.number_of_segments == record["lesion_count"]
        volume = seg.get_volume(combine_segments=True, skip_overlap_checks=True)
        assert float((volume.array > 0).sum()) * _STEP**3 / 1000 == pytest.approx(record["volume_ml"])
        assert hd.seg.segread(out / record["files"]["prob_seg"]).SegmentationType == "FRACTIONAL"
    assert masks[0].any()
    assert np.array_equal(*masks)


def test_a_series_that_is_refused_has_a_number_for_a_name(
    series: Path, quiet_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    sorted(series.iterdir())[12].unlink()
    out = tmp_path / "out"
    out.mkdir()
    (out / "dicom-001_seg.dcm").touch()  # of an earlier run
    result = call(capsys, "segment", series, "--weights", quiet_weights, "--out", out, "--device", "cpu")
    assert result.code == 65
    assert "insula: dicom-001: the step from slice" in result.err
    record = json.loads((out / "dicom-001.json").read_text())
    assert record["outcome"] == "refused"
    assert "CANARY" not in json.dumps(record)
    assert not (out / "dicom-001_seg.dcm").exists()


@pytest.mark.long
def test_a_refusal_of_a_series_removes_its_earlier_result_and_no_other(
    series: Path, quiet_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    common = ("--weights", quiet_weights, "--out", out, "--device", "cpu")
    other = write_head(tmp_path / "other", SeriesNumber=8)
    assert call(capsys, "segment", series, other, *common).code == 0
    done = {path.stem for path in out.glob("dicom-*.json")}
    sorted(series.iterdir())[12].unlink()
    assert call(capsys, "segment", series, *common, "--series", 4).code == 2
    assert len(list(out.glob("*_mask.nii.gz"))) == 2, "that was another series"
    result = call(capsys, "segment", series, *common)
    assert (result.code, "the step from slice" in result.err) == (65, True)
    outcomes = {name: json.loads((out / f"{name}.json").read_text())["outcome"] for name in done}
    assert sorted(outcomes.values()) == ["done", "refused"]
    (refused,) = (name for name, outcome in outcomes.items() if outcome == "refused")
    assert [path.name for path in out.glob(f"{refused}*")] == [f"{refused}.json"]
    elsewhere = shutil.copytree(other, tmp_path / "elsewhere")
    sorted(elsewhere.iterdir())[12].unlink()
    assert call(capsys, "segment", elsewhere, *common).code == 65
    assert len(list(out.glob("*_mask.nii.gz"))) == 1, "a damaged copy elsewhere does not replace a result"


def test_a_series_can_be_named(series: Path, quiet_weights: Path, tmp_path: Path, capsys: Capture) -> None:
    common = ("--weights", quiet_weights, "--out", tmp_path / "out", "--device", "cpu")
    assert call(capsys, "segment", series, *common, "--series", 3).code == 0
    assert call(capsys, "segment", series, *common, "--series", 4).code == 2


def test_a_folder_of_nothing_says_so(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.txt").write_text("x")
    result = call(capsys, "segment", tmp_path)
    assert result.code == 66
    assert "no DICOM" in result.err
