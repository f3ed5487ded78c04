"""What a file's pixels, slopes and padding become; what is said about the files of a series."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from insula.errors import BadData
from insula.io.dicom import DicomScan, read_dicom, scan_name
from io_series import enhanced, sample, save, write_series

_SMALL = sample(5, (4, 5, 20))


def _written(folder: Path, image: np.ndarray = _SMALL, **values: Any) -> Path:
    return write_series(folder, image, **values)


def _zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(folder.rglob("IM*")):
            packed.write(file, str(file.relative_to(folder)))
    return path


def test_facts_are_those_of_all_files_in_the_order_of_the_slices(tmp_path: Path) -> None:
    series = read_dicom(_written(tmp_path))
    files = [next(f for f in tmp_path.iterdir() if dcmread(f).InstanceNumber == n + 1) for n in range(20)]
    for age, file in enumerate(files):
        os.utime(file, ns=(1, 10**18 + age))
    facts = read_dicom(tmp_path).scan.file
    assert facts is not None
    assert facts.bytes == sum(file.stat().st_size for file in files)
    assert facts.modified_ns == 10**18 + 19
    assert facts.sha256 == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert series.contents == {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert DicomScan(series.scan, series.headers).still_the_same()


def test_the_name_comes_from_the_series_in_every_form_and_is_known_beforehand(tmp_path: Path) -> None:
    _written(tmp_path / "in" / "a", SeriesNumber=3)
    _written(tmp_path / "in" / "b", sample(6, (4, 5, 20)), SeriesNumber=4)
    archive = _zipped(tmp_path / "in", tmp_path / "a.zip")
    names = set()
    for path in (tmp_path / "in", archive):
        for number in (3, 4):
            series = read_dicom(path, series=number)
            assert np.array_equal(series.scan.image, _SMALL if number == 3 else sample(6, (4, 5, 20)))
            assert scan_name(path, series=number) == series.scan.name
            assert (series.contents == {}) is (path == archive)
            names.add(series.scan.name)
        assert scan_name(path) == read_dicom(path).scan.name
    assert len(names) == 2
    uid = dcmread(next((tmp_path / "in" / "a").iterdir())).SeriesInstanceUID
    assert f"dicom-{hashlib.sha256(uid.encode()).hexdigest()[:12]}" in names


def test_a_name_is_known_although_a_file_is_damaged(tmp_path: Path) -> None:
    name = scan_name(write_series(tmp_path / "in"))
    for place in ("IM00000", "z"):
        content = (tmp_path / "in" / "IM00000").read_bytes()
        (tmp_path / "in" / place).write_bytes(content[:200])
        assert scan_name(tmp_path / "in") == name
        with pytest.raises(BadData, match=f"{1 + (place == 'z')} of 2[23] cannot be read, so slices may be missing"):
            read_dicom(tmp_path / "in")
    assert scan_name(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 file without a DICOM image was"), (2, "2 files without a DICOM image were")]
)
def test_other_files_are_counted(count: int, text: str, tmp_path: Path) -> None:
    _written(tmp_path)
    for number in range(count):
        (tmp_path / f"{number}.txt").write_text("x")
    (flag,) = read_dicom(tmp_path).scan.flags
    assert (flag.code, flag.severity, flag.text) == ("files-skipped", "note", f"{text} skipped.")


def test_a_malformed_series_uid_is_replaced_by_one_of_the_scans_name(tmp_path: Path) -> None:
    uids = set()
    for name in ("a", "b"):
        first, second = (read_dicom(_written(tmp_path / name, SeriesInstanceUID=f"1.0{n}")) for n in "77")
        assert first.references[0].SeriesInstanceUID == second.references[0].SeriesInstanceUID
        other = replace(first, scan=replace(first.scan, name="another"))
        uids |= {first.references[0].SeriesInstanceUID, other.references[0].SeriesInstanceUID}
    assert len(uids) == 2


_PADDED = np.where(np.arange(20) % 2 == 0, _SMALL, 4095).astype(np.uint16)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ({"PixelPaddingValue": 4095}, 4095, 4095),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 900}, 0, 900),
        ({"PixelPaddingValue": 900, "PixelPaddingRangeLimit": 0}, 0, 900),
        ({"PixelPaddingValue": [4095, 4000]}, 1, 0),
        ({"PixelPaddingRangeLimit": 4095}, 1, 0),
        ({"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": [1, 2]}, 1, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("many", [False, True])
def test_padding_is_a_value_or_a_range(values: dict[str, Any], low: int, high: int, many: bool, tmp_path: Path) -> None:
    if many:
        scan = read_dicom(enhanced(_PADDED, tmp_path / "a.dcm", **values)).scan
    else:
        scan = read_dicom(_written(tmp_path, _PADDED, **values)).scan
    padded = (low <= _PADDED) & (high >= _PADDED)
    assert np.array_equal(scan.image[~padded], _PADDED[~padded])
    assert ["padding-set-aside" in flag.code for flag in scan.flags] == [True] * bool(padded.any())
    if padded.any():
        assert f"{padded.mean():.1%} of the voxels are padding according to the file" in scan.flags[0].text
        assert len(np.unique(scan.image[padded])) == 1


def test_a_frames_own_slope_precedes_that_of_all_frames_and_that_of_the_file(tmp_path: Path) -> None:
    slopes = tuple(1.0 + k / 64 for k in range(20))
    path = enhanced(_SMALL, tmp_path / "a.dcm", slopes=slopes, RescaleSlope=9.0, RescaleIntercept=9.0)
    assert np.allclose(read_dicom(path).scan.image, _SMALL * np.array(slopes))
    data = dcmread(path)
    shared = Dataset()
    shared.RescaleSlope, shared.RescaleIntercept = 3.0, 5.0
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.PixelValueTransformationSequence
    assert np.allclose(read_dicom(save(data, path)).scan.image, _SMALL * 9.0 + 9)
    data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [shared]
    assert np.allclose(read_dicom(save(data, path)).scan.image, _SMALL * 3.0 + 5)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_damaged_slope_is_flagged_in_either_direction_of_grey(kind: str, tmp_path: Path) -> None:
    """Inverted, too, its brightness is compared as stored."""

    def scale(data: Dataset, number: int) -> Dataset:
        data.RescaleSlope, data.RescaleIntercept = (3.0 if number == 7 else 1.0), 0.0
        return data

    even = np.broadcast_to(_SMALL[:, :, :1], _SMALL.shape).copy()
    flags = read_dicom(_written(tmp_path, even, change=scale, PhotometricInterpretation=kind)).scan.flags
    (text,) = (flag.text for flag in flags if flag.code == "slice-scaling-odd")
    assert text.startswith("Slice 8 stands out, 3 times as bright, because")
    assert ("monochrome1" in {flag.code for flag in flags}) is (kind == "MONOCHROME1")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"PhotometricInterpretation": "RGB"}, "are in colour"),
        ({"PhotometricInterpretation": ""}, "are in colour"),
        ({"SamplesPerPixel": 3}, "are in colour"),
    ],
)
def test_images_in_colour_are_refused(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    def change(data: Dataset, number: int) -> Dataset:
        for key, value in values.items():
            setattr(data, key, value)
        data.PixelData = data.PixelData * data.SamplesPerPixel
        data.PlanarConfiguration = 0
        return data

    with pytest.raises(BadData, match=message):
        read_dicom(_written(tmp_path, change=change))


def test_numbers_of_samples_may_be_missing(tmp_path: Path) -> None:
    def change(data: Dataset, number: int) -> Dataset:
        data.SamplesPerPixel = None
        return data

    folder = _written(tmp_path / "in")
    assert np.array_equal(read_dicom(folder).scan.image, _SMALL)
    with pytest.raises(BadData, match="cut off or damaged in its pixels"):  # pydicom needs it
        read_dicom(_written(tmp_path / "none", change=change))


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", np.float32), ("DoubleFloatPixelData", np.float64)])
def test_pixels_may_be_floating_point_numbers(keyword: str, dtype: type, tmp_path: Path) -> None:
    def change(data: Dataset, number: int) -> Dataset:
        plane = (_SMALL[:, :, number].T + 0.25).astype(dtype)
        del data.PixelData
        setattr(data, keyword, plane.tobytes())
        data.BitsAllocated = 8 * plane.itemsize
        for key in ("BitsStored", "HighBit", "PixelRepresentation"):
            delattr(data, key)
        return data

    series = read_dicom(_written(tmp_path, change=change))
    assert np.array_equal(series.scan.image, _SMALL + np.float32(0.25))
    assert not any(keyword in header for header in series.headers)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="holds values that are not finite"):
        read_dicom(_written(tmp_path, RescaleSlope="1e300", RescaleIntercept=0))


def test_an_image_of_one_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="with the value 7 is the same everywhere"):
        read_dicom(_written(tmp_path, np.full((4, 5, 20), 7, np.uint16)))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(("place", "length"), [(0.1, 2), (0.5, 64), (0.5, 512), (0.02, 300), (0.9, 96)])
def test_bytes_that_come_again_in_the_pixels_are_refused(
    place: float, length: int, syntax: str, tmp_path: Path
) -> None:
    folder = write_series(tmp_path, syntax=syntax)
    path = folder / "IM00000"
    content = path.read_bytes()
    start = len(content) - 2 * 20 * 24
    at = start + int(place * 2 * 20 * 24) // 2 * 2
    path.write_bytes(content[:at] + content[at - length : at] + content[at:])
    with pytest.raises(BadData, match=r"after its pixels|cannot be read|cut off"):
        read_dicom(folder)


def test_zeros_behind_the_pixels_are_told_and_padding_of_the_standard_is_not(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "zeros")
    path = folder / "IM00000"
    path.write_bytes(path.read_bytes() + bytes(64))
    assert [flag.code for flag in read_dicom(folder).scan.flags] == ["pixels-followed"]

    def pad(data: Dataset, number: int) -> Dataset:
        data.add_new(0xFFFCFFFC, "OB", bytes(100))
        return data

    def own(data: Dataset, number: int) -> Dataset:
        data.add_new(0x7FE10010, "LO", "MAKER")
        data.add_new(0x7FE11010, "OB", b"\1\2" * 50)
        return data

    for name, change in (("padding", pad), ("private", own)):
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian):
            folder = write_series(tmp_path / f"{name} {syntax}", change=change, syntax=syntax)
            assert not read_dicom(folder).scan.flags


def test_more_pixels_than_the_size_says_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path)
    for path in folder.iterdir():
        data = dcmread(path)
        data.Rows = data.Rows - 2
        save(data, path)
    with pytest.raises(BadData, match="after its pixels: they are displaced, or the header"):
        read_dicom(folder)
