"""The T1w series is found among what a session of a scanner leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from insula.errors import BadData, UsageError
from insula.io.dicom import read_dicom
from insula.io.dicom.choose import Choice, choose_series
from insula.io.dicom.slices import Slice, slices_of
from io_series import enhanced, header, sample, write_series

_OTHERS = {
    1: {"SeriesDescription": "localizer", "ProtocolName": "loc", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    2: {
        "SeriesDescription": "t2_tse",
        "ProtocolName": "",
        "EchoTime": 101.0,
        "RepetitionTime": 6000.0,
        "InversionTime": "",
    },
    4: {"SeriesDescription": "FLAIR t1-like", "ProtocolName": "", "EchoTime": 390.0, "InversionTime": 1800.0},
    5: {"SeriesDescription": "ep2d_diff", "ProtocolName": "dwi", "EchoTime": 80.0, "InversionTime": ""},
    6: {"SeriesDescription": "t1_mprage MPR", "ImageType": ["DERIVED", "SECONDARY", "MPR"]},
    7: {"SeriesDescription": "t1_mprage +C", "ContrastBolusAgent": "x"},
    8: {"SeriesDescription": "", "ProtocolName": "", "EchoTime": 3.0},
}


def test_of_a_whole_session_the_plain_t1w_is_taken_and_the_others_are_listed(tmp_path: Path) -> None:
    wanted = sample(3)
    write_series(tmp_path / "three", wanted)
    for number, values in _OTHERS.items():
        write_series(tmp_path / str(number), sample(number), SeriesNumber=number, **values)
    scan = read_dicom(tmp_path).scan
    assert np.array_equal(scan.image, wanted)
    (flag,) = scan.flags
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
    with pytest.raises(BadData, match=r"choose with `series`: series 3 \(22 images\), series 4"):
        read_dicom(tmp_path)
    assert np.array_equal(read_dicom(tmp_path, series=4).scan.image, sample(2))


def test_a_series_that_is_not_there(tmp_path: Path) -> None:
    write_series(tmp_path / "a", sample(1), SeriesNumber=3)
    with pytest.raises(UsageError, match=r"`series` 8 matches no series; there are series 3 \(22 images\)"):
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


def _taken(folder: Path, **options: int) -> tuple[str, list[str]]:
    """The flag that says what was taken, and all codes."""
    flags = read_dicom(folder, **options).scan.flags
    return next((flag.text for flag in flags if flag.code == "series-chosen"), ""), [flag.code for flag in flags]


@pytest.mark.parametrize(
    "name",
    [
        "mp2rage_1mm_{}",
        *(pytest.param(n, marks=pytest.mark.long) for n in ("MP2RAGE {}", "t1-mp2rage-{}", "Mp2Rage.{}")),
    ],
)
def test_of_an_mp2rage_the_uniform_image_is_taken(name: str, tmp_path: Path) -> None:
    for number, (part, inversion) in enumerate((("INV1", 700.0), ("INV2", 2500.0)), 5):
        description = name.format(part)
        write_series(
            tmp_path / part,
            sample(number),
            SeriesNumber=number,
            SeriesDescription=description,
            ProtocolName="",
            InversionTime=inversion,
        )
    kind = ["DERIVED", "PRIMARY", "M", "ND", "UNI"]
    write_series(
        tmp_path / "uni",
        sample(7),
        SeriesNumber=7,
        SeriesDescription=name.format("UNI_Images"),
        ProtocolName="",
        ImageType=kind,
    )
    maps = ["DERIVED", "PRIMARY", "M", "ND", "T1 MAP"]
    write_series(
        tmp_path / "map",
        sample(8),
        SeriesNumber=8,
        SeriesDescription=name.format("T1_Images"),
        ProtocolName="",
        ImageType=maps,
    )
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(7))
    text, codes = _taken(tmp_path)
    assert "because it is the uniform image of an MP2RAGE" in text
    assert "series 5 (22 images): one inversion of an MP2RAGE" in text
    assert "contrast-agent" not in codes
    assert np.array_equal(read_dicom(tmp_path / "uni").scan.image, sample(7))  # alone, though derived
    with pytest.raises(BadData, match="one inversion"):
        read_dicom(tmp_path / "INV1")
    assert np.array_equal(read_dicom(tmp_path, series=5).scan.image, sample(5))  # who names it gets it


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("t1_mprage_sag", "T1_MPRAGE_SAG_POST_GD"),
        pytest.param("T1 MPRAGE PRE CONTRAST", "T1 MPRAGE POST CONTRAST", marks=pytest.mark.long),
        pytest.param("t1-mprage", "t1-mprage+c", marks=pytest.mark.long),
        ("3D_T1_WO_GD", "3D_T1_GD"),
        pytest.param("t1_nativ", "t1_mit_KM", marks=pytest.mark.long),
        pytest.param("Ax.T1.BRAVO", "Ax.T1.BRAVO.+GAD", marks=pytest.mark.long),
        ("t1Mprage", "t1MpragePostGd"),
    ],
)
def test_the_scan_before_the_agent_is_taken_whatever_parts_the_words(before: str, after: str, tmp_path: Path) -> None:
    write_series(tmp_path / "a", sample(1), SeriesNumber=4, SeriesDescription=before, ProtocolName="")
    write_series(tmp_path / "b", sample(2, (20, 24, 30)), SeriesNumber=12, SeriesDescription=after, ProtocolName="")
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(1))
    assert "contrast-agent" not in _taken(tmp_path)[1]
    assert "contrast-agent" in _taken(tmp_path / "b")[1]


@pytest.mark.parametrize(
    ("values", "flagged"),
    [
        ({"ScanningSequence": "SE"}, True),
        ({"ScanningSequence": ["SE", "IR"]}, False),
        ({"ScanningSequence": ["GR", "IR"]}, False),
        ({"ScanningSequence": "", "EchoPulseSequence": "SPIN"}, True),
        ({"ScanningSequence": "", "EchoPulseSequence": "BOTH"}, False),
        ({"ScanningSequence": "GR", "EchoPulseSequence": "SPIN"}, False),
        ({}, False),
    ],
)
def test_a_spin_echo_is_known_by_its_attributes(values: dict[str, object], flagged: bool, tmp_path: Path) -> None:
    write_series(tmp_path, sample(1), SeriesDescription="t1", **values)
    assert ("spin-echo" in _taken(tmp_path)[1]) == flagged


@pytest.mark.parametrize(
    "values",
    [
        {"ContrastBolusAgent": "x"},
        {"ContrastBolusAgent": "none", "ContrastBolusVolume": 7.5},
        {"ContrastBolusStartTime": "101500"},
        {"ContrastBolusTotalDose": 0.1},
    ],
)
def test_an_agent_is_known_by_attributes_whatever_the_name_says(values: dict[str, object], tmp_path: Path) -> None:
    write_series(tmp_path / "a", sample(1), SeriesNumber=9, SeriesDescription="t1_mprage")
    write_series(tmp_path / "b", sample(2, (20, 24, 30)), SeriesNumber=3, SeriesDescription="t1_mprage", **values)
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(1))
    assert "contrast-agent" in _taken(tmp_path / "b")[1]


def test_no_agent_is_no_agent(tmp_path: Path) -> None:
    write_series(tmp_path, ContrastBolusAgent="NONE", ContrastBolusVolume=0)
    assert _taken(tmp_path)[1] == []


def test_combined_echoes_are_taken_before_the_echoes(tmp_path: Path) -> None:
    for echo in range(3):

        def numbered(data: Dataset, number: int, echo: int = echo) -> Dataset:
            data.SOPInstanceUID = generate_uid(entropy_srcs=[f"echo {echo} {number}"])
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            return data

        write_series(
            tmp_path / f"e{echo}",
            sample(echo),
            change=numbered,
            SeriesNumber=8,
            SeriesDescription="T1_MEMPRAGE",
            EchoTime=1.7 + echo,
        )
    write_series(tmp_path / "rms", sample(9), SeriesNumber=9, SeriesDescription="T1_MEMPRAGE_RMS")
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(9))


def test_planning_slices_are_left_out_and_said(tmp_path: Path) -> None:
    write_series(tmp_path / "a", sample(1))

    def across(data: Dataset, number: int) -> Dataset | None:
        data.ImageOrientationPatient, data.ImagePositionPatient = [0, 1, 0, 0, 0, -1], [0, -110, 100]
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["planning"])
        return data if number == 0 else None

    write_series(tmp_path / "b", sample(2), change=across)
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(1))
    assert _taken(tmp_path)[1] == ["strays-left-out"]


def test_acquisitions_that_number_each_slice_are_one_volume(tmp_path: Path) -> None:
    """As some two-dimensional sequences do."""

    def numbered(data: Dataset, number: int) -> Dataset:
        data.AcquisitionNumber = 700 + number
        return data

    write_series(tmp_path, sample(1), change=numbered)
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(1))
    assert _taken(tmp_path) == ("", [])


def test_two_series_of_one_number_have_a_way_out(tmp_path: Path) -> None:
    write_series(tmp_path / "a", sample(1), SeriesInstanceUID="1.2.3")
    write_series(tmp_path / "b", sample(2), SeriesInstanceUID="1.2.4")
    with pytest.raises(UsageError, match="`series` 3 matches 2 series; name the folder of one of them"):
        read_dicom(tmp_path, series=3)


def test_the_header_is_believed_before_the_name(tmp_path: Path) -> None:
    enhanced(sample(1), tmp_path / "a", contrast="T2")
    enhanced(sample(2), tmp_path / "b", contrast="T1", SeriesNumber=4, SeriesDescription="no idea")
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(2))


def _series(series_number: int | None, count: int = 20, **changes: Any) -> list[Slice]:
    """A series that says only that it is an original MR image; `words="t1"` gives it 2 points."""
    blank = {"SeriesDescription": "", "ProtocolName": "", "EchoTime": "", "InversionTime": ""}
    plain = [slices_of(Path(f"IM{n}"), header(n, Rows=9, Columns=9, **blank))[0] for n in range(count)]
    uid = changes.pop("series", f"1.{series_number}")
    return [
        replace(slice_, uid=f"{uid}.{n}", series=uid, series_number=series_number, **changes)
        for n, slice_ in enumerate(plain)
    ]


def _flags(choice: Choice) -> dict[str, str]:
    return {flag.code: flag.text for flag in choice.flags}


def test_points_come_before_the_number_of_images_and_that_before_the_number_of_the_series() -> None:
    two_points, four_points = {"words": "t1"}, {"acquired_for": "T1"}
    for better, worse in (
        (_series(9, **four_points), _series(2, 30, **two_points)),
        (_series(9, 21, **two_points), _series(2, 20, **two_points)),
        (_series(2, **two_points), _series(9, **two_points)),
        (_series(None, **two_points), _series(1, **two_points)),
        (_series(9, **two_points), _series(2, 30, words="t1 post")),  # an agent costs 3
    ):
        assert choose_series([*worse, *better]).slices == tuple(better)
        assert choose_series([*better, *worse]).slices == tuple(better)


def test_the_flag_lists_reasons_and_at_most_twelve_others() -> None:
    best = _series(1, words="t1 rms", acquired_for="T1")
    others = [_series(n, words="t1") for n in range(2, 14)]
    text = _flags(choose_series([slice_ for series in (best, *others) for slice_ in series]))["series-chosen"]
    assert text.startswith(
        "Series 1 (20 images) was taken because its header names T1 as the contrast and its echoes are combined and "
        "its name indicates T1, out of 13 series; series 2 (20 images): not chosen; series 3"
    )
    assert text.endswith("series 13 (20 images): not chosen.")
    more = [*others, _series(14, words="t1"), _series(15, 3)]
    text = _flags(choose_series([slice_ for series in (best, *more) for slice_ in series]))["series-chosen"]
    assert text.endswith("series 13 (20 images): not chosen ....")
    phase = [replace(slice_, uid=slice_.uid + ".9", part="phase") for slice_ in best]
    text = _flags(choose_series([*best, *phase, *others[0]], number=1))["series-chosen"]
    assert text == (
        "Series 1 (20 images, part 1) was taken because its number was given, out of 1 series; "
        "series 1 (20 images, part 2): a phase image."
    )


def test_a_series_without_reasons_or_numbers() -> None:
    choice = choose_series([*_series(None), *_series(3, 5)])
    assert list(_flags(choice)) == ["not-told-to-be-t1w", "series-chosen"]
    assert _flags(choice)["series-chosen"] == (
        "Series without a number (20 images) was taken, out of 2 series; series 3 (5 images): only 5 images."
    )


def test_what_was_computed_from_other_images_is_flagged() -> None:
    flags = choose_series(_series(1, words="t1", kind=("DERIVED", "PRIMARY", "M"))).flags
    assert [(flag.code, flag.severity) for flag in flags] == [("derived", "note")]
    assert choose_series(_series(1, words="t1")).flags == ()


def test_points_of_zero_or_less_do_not_indicate_t1w() -> None:
    for changes in ({}, {"sequence": ("EP",)}):
        assert "not-told-to-be-t1w" in _flags(choose_series(_series(1, **changes)))
        with pytest.raises(BadData, match="hold no series whose header, name or timings indicate T1w"):
            choose_series([*_series(1, **changes), *_series(2, **changes)])
    assert choose_series(_series(1, words="rms")).flags == ()  # one point is enough
