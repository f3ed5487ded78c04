"""The T1w series is found among what a session of a scanner leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from insula.errors import BadData, UsageError
from insula.io.dicom import read_dicom
from io_series import sample, write_series

_OTHERS = {
    1: {"SeriesDescription": "localizer", "ProtocolName": "loc", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    2: {"SeriesDescription": "t2_tse", "ProtocolName": "", "EchoTime": 101.0, "RepetitionTime": 6000.0, "InversionTime": ""},
    4: {"SeriesDescription": "FLAIR t1-like", "ProtocolName": "", "EchoTime": 390.0, "InversionTime": 1800.0},
    5: {"SeriesDescription": "ep2d_diff", "ProtocolName": "dwi", "EchoTime": 80.0, "InversionTime": ""},
    6: {"SeriesDescription": "t1_mprage MPR", "ImageType": ["DERIVED", "SECONDARY", "MPR"]},
    7: {"SeriesDescription": "t1_mprage +C", "ContrastBolusAgent": "x"},
    8: {"SeriesDescription": "", "ProtocolName": "", "EchoTime": 3.0},
}  # fmt: skip


def test_of_a_whole_session_the_plain_t1w_is_taken_and_the_others_are_listed(tmp_path: Path) -> None:
    wanted = sample(3)
    write_series(tmp_path / "three", wanted)
    for number, values in _OTHERS.items():
        write_series(tmp_path / str(number), sample(number), SeriesNumber=number, **values)
    found = read_dicom(tmp_path).scan
    assert np.array_equal(found.image, wanted)
    (flag,) = found.flags
    assert (flag.code, flag.severity) == ("series-chosen", "note")
    for number in _OTHERS:
        assert f"series {number} (22 images)" in flag.text


def test_two_t1w_series_are_never_merged(tmp_path: Path) -> None:
    write_series(tmp_path / "a", sample(1), SeriesNumber=3)
    write_series(tmp_path / "b", sample(2, (20, 24, 30)), SeriesNumber=9)
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(2, (20, 24, 30)))  # more images
    assert np.array_equal(read_dicom(tmp_path, series=3).scan.image, sample(1))


def test_what_is_not_told_to_be_t1w_is_not_guessed_among_several(tmp_path: Path) -> None:
    unknown = {"SeriesDescription": "", "ProtocolName": "", "EchoTime": 30.0, "InversionTime": ""}
    write_series(tmp_path / "a", sample(1), SeriesNumber=3, **unknown)
    write_series(tmp_path / "b", sample(2), SeriesNumber=4, **unknown)
    with pytest.raises(BadData, match=r"choose with --series: series 3 \(22 images\), series 4"):
        read_dicom(tmp_path)
    assert np.array_equal(read_dicom(tmp_path, series=4).scan.image, sample(2))


def test_a_series_that_is_not_there(tmp_path: Path) -> None:
    write_series(tmp_path / "a", sample(1), SeriesNumber=3)
    with pytest.raises(UsageError, match=r"--series 8 is of none; there are series 3 \(22 images\)"):
        read_dicom(tmp_path, series=8)


def test_two_patients_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SeriesNumber=3, PatientID="P1")
    write_series(tmp_path / "b", SeriesNumber=4, PatientID="P2")
    with pytest.raises(BadData, match="several patients"):
        read_dicom(tmp_path)


def test_too_few_images_are_no_head(tmp_path: Path) -> None:
    write_series(tmp_path, sample(shape=(20, 24, 5)))
    with pytest.raises(BadData, match=r"series 3 \(5 images\): only 5 images"):
        read_dicom(tmp_path)
