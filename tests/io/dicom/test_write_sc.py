from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from insula.io.dicom import read_dicom, save_dicom, secondary_capture
from io_series import CANARY, sample, write_series

_PICTURE = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)


def test_it_belongs_to_the_source_and_keeps_its_pixels(tmp_path: Path) -> None:
    series = read_dicom(write_series(tmp_path / "series", **CANARY))
    save_dicom(tmp_path / "a.dcm", secondary_capture(series, _PICTURE))
    written = dcmread(io.BytesIO((tmp_path / "a.dcm").read_bytes()))
    first = series.headers[0]
    for name in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate"):
        assert written[name].value == first[name].value
    assert written.SeriesInstanceUID != first.SeriesInstanceUID
    assert np.array_equal(written.pixel_array, _PICTURE)


def test_the_same_picture_is_the_same_object_and_another_is_another(tmp_path: Path) -> None:
    series = read_dicom(write_series(tmp_path / "series"))
    first, again, other = (
        secondary_capture(series, picture).SOPInstanceUID for picture in (_PICTURE, _PICTURE, 255 - _PICTURE)
    )
    assert first == again != other


@pytest.mark.parametrize("number", [3, None])
def test_what_viewers_show(number: int | None, tmp_path: Path) -> None:
    series = read_dicom(write_series(tmp_path / "series", SeriesNumber=number))
    data = secondary_capture(series, _PICTURE)
    assert data.SeriesNumber == 9002 + (number or 0)
    assert (data.InstanceNumber, data.Manufacturer, data.BodyPartExamined) == (1, "insula", "BRAIN")
    assert (data.ConversionType, data.BurnedInAnnotation) == ("WSD", "NO")
    assert data.SeriesDescription == "insula picture, for research only"
    assert "PatientOrientation" in data
    assert data["PatientOrientation"].VM == 0


def test_uids_are_the_same_every_time_and_depend_on_the_scan(tmp_path: Path) -> None:
    first, second = (read_dicom(write_series(tmp_path / str(n), sample(n))) for n in range(2))
    of_first, again, of_second = (secondary_capture(series, _PICTURE) for series in (first, first, second))
    assert of_first.SeriesInstanceUID == again.SeriesInstanceUID != of_first.SOPInstanceUID
    assert UID(str(of_first.SeriesInstanceUID)).is_valid
    assert len({of_first.SOPInstanceUID, of_second.SOPInstanceUID, of_first.SeriesInstanceUID}) == 3


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_has_nothing_to_say(tmp_path: Path) -> None:
    save_dicom(tmp_path / "a.dcm", secondary_capture(read_dicom(write_series(tmp_path / "series")), _PICTURE))
    validation = subprocess.run(["dciodvfy", tmp_path / "a.dcm"], capture_output=True, text=True)
    assert "Error" not in validation.stderr
    assert "Warning" not in validation.stderr
