from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from insula.io.dicom import read_dicom, save_dicom, secondary_capture
from io_series import CANARY, write_series

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


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_has_nothing_to_say(tmp_path: Path) -> None:
    save_dicom(tmp_path / "a.dcm", secondary_capture(read_dicom(write_series(tmp_path / "series")), _PICTURE))
    validation = subprocess.run(["dciodvfy", tmp_path / "a.dcm"], capture_output=True, text=True)
    assert "Error" not in validation.stderr
    assert "Warning" not in validation.stderr
