"""Slices are judged by how far each lies from its place, and by what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from insula.errors import BadData, TooLarge
from insula.io.dicom import lesion_seg, measurement_sr, probability_seg, read_dicom, secondary_capture
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
from io_series import ORIGIN, SPACING, sample, save, write_series

_HEAD = np.round(phantom_case(phantom_grid(spacing_mm=(6.0,) * 3)).scan.image).astype(np.uint16)


def _places(count: int, step_mm: float, *, oblique: bool) -> tuple[np.ndarray, list[float]]:
    """Exact positions (count, 3), and the directions of rows and columns."""
    a, b = np.deg2rad((7.0, 4.0)) if oblique else (0.0, 0.0)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn = turn @ np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    places = np.array(ORIGIN) + np.arange(count)[:, None] * step_mm * turn[:, 2]
    return places, [round(float(x), 6) for x in (*turn[:, 0], *turn[:, 1])]


def _series(folder: Path, places: np.ndarray, axes: list[float], step_mm: float) -> Path:
    def place(data: Dataset, number: int) -> Dataset:
        data.ImagePositionPatient = [f"{x:.6f}" for x in places[number]]
        data.ImageOrientationPatient, data.SliceThickness = axes, step_mm
        return data

    return write_series(folder, sample(shape=(20, 24, len(places))), change=place)


def test_headers_that_describe_a_huge_image_are_refused_before_it_is_allocated(tmp_path: Path) -> None:
    def enlarge(data: Dataset, number: int) -> Dataset:
        data.Rows, data.Columns = 60_000, 50_000
        return data

    with pytest.raises(TooLarge, match=r"of 50000x60000x22 voxels would be 245.9 GiB, over the limit of 2 GiB"):
        read_dicom(write_series(tmp_path, change=enlarge))


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize(("step_mm", "decimals"), [(0.5, 2), (0.3, 2), (0.9, 1), (1.0, 1), (3.0, 1), (1.2, 3)])
def test_rounded_positions_are_even(step_mm: float, decimals: int, oblique: bool, tmp_path: Path) -> None:
    places, axes = _places(64, step_mm, oblique=oblique)
    scan = read_dicom(_series(tmp_path / "a", places.round(decimals), axes, step_mm)).scan
    assert not scan.flags
    assert scan.grid.spacing_mm[2] == pytest.approx(step_mm, rel=2e-3)
    exact = read_dicom(_series(tmp_path / "b", places, axes, step_mm)).scan.grid
    k = np.arange(64)
    for grid in (scan.grid, exact):  # every voxel within a tenth of a voxel of its place
        shown = grid.affine[:3, 3] + k[:, None] * grid.affine[:3, 2]
        assert np.abs(shown - places * [-1, -1, 1]).max() < 0.1 * step_mm


def test_steps_that_drift_within_a_tenth_of_a_voxel_are_even_and_beyond_it_are_not(tmp_path: Path) -> None:
    places, axes = _places(40, 1.0, oblique=True)
    normal = (places[1] - places[0])[None]
    wave = np.sin(np.arange(40))[:, None]
    read_dicom(_series(tmp_path / "a", places + 0.08 * wave * normal, axes, 1.0))
    with pytest.raises(BadData, match="unevenly spaced"):
        read_dicom(_series(tmp_path / "b", places + 0.2 * wave * normal, axes, 1.0))
    bent = places + 0.001 * (np.arange(40)[:, None] - 20) ** 2 * normal  # neighbours differ by 0.2 % only
    with pytest.raises(BadData, match="unevenly spaced"):
        read_dicom(_series(tmp_path / "c", bent, axes, 1.0))


@pytest.mark.parametrize("decimals", [2, 6])
@pytest.mark.parametrize(
    "missing", [(1,), (20,), (38,), (19, 20), (5, 30), tuple(range(4, 40, 5)), tuple(range(20, 39, 2))]
)
def test_missing_slices_are_seen_wherever_they_are(missing: tuple[int, ...], decimals: int, tmp_path: Path) -> None:
    places, axes = _places(40, 0.5, oblique=True)
    with pytest.raises(BadData, match="slices are missing"):
        read_dicom(_series(tmp_path, np.delete(places.round(decimals), missing, axis=0), axes, 0.5))


@pytest.mark.parametrize("again", [range(5, 6), range(5, 12), range(0, 20)])
def test_slices_that_come_again_are_refused(again: range, tmp_path: Path) -> None:
    places, axes = _places(40, 0.5, oblique=True)
    twice = np.concatenate([places, places[list(again)]]).round(2)
    with pytest.raises(BadData, match="where"):
        read_dicom(_series(tmp_path, twice, axes, 0.5))


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


def _one_frame(data: Dataset, number: int) -> Dataset:
    def item(**values: object) -> Dataset:
        dataset = Dataset()
        for key, value in values.items():
            setattr(dataset, key, value)
        return dataset

    group = item(
        PlanePositionSequence=[item(ImagePositionPatient=data.ImagePositionPatient)],
        PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=-1, RescaleType="US")],
        FrameContentSequence=[
            item(StackID="1", InStackPositionNumber=number + 1, DimensionIndexValues=[1, number + 1])
        ],
    )
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=data.PixelSpacing, SliceThickness=data.SliceThickness)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=data.ImageOrientationPatient)],
    )
    data.PerFrameFunctionalGroupsSequence, data.SharedFunctionalGroupsSequence = [group], [shared]
    for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, key)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    data.NumberOfFrames = 1
    return data


def test_enhanced_images_of_one_frame_are_stacked_and_referred_to(tmp_path: Path) -> None:
    plain = read_dicom(write_series(tmp_path / "plain"))
    series = read_dicom(write_series(tmp_path / "a", change=_one_frame))
    assert np.array_equal(series.scan.image, sample() * 2.0 - 1)
    assert series.scan.grid.close_to(plain.scan.grid)
    assert series.frames == ()
    assert not series.scan.flags
    labels = np.zeros(series.scan.grid.shape, np.uint16)
    labels[4:8, 4:8, 4:8] = 1
    seg = lesion_seg(series, labels, weights="x")
    spots = [
        [float(x) for x in group.PlanePositionSequence[0].ImagePositionPatient]
        for group in seg.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(spots) == [[ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[2] * k] for k in range(4, 8)]
    assert {str(header.SOPInstanceUID) for header in series.headers} >= {
        str(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        for group in seg.PerFrameFunctionalGroupsSequence
    }
    report = measurement_sr(series, seg, [0.1])
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    named = {str(i.ReferencedSOPClassUID) for study in evidence for i in study.ReferencedSOPSequence}
    assert named == {str(EnhancedMRImageStorage), str(seg.SOPClassUID)}
    assert {str(i.ReferencedSOPClassUID) for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == {
        str(EnhancedMRImageStorage)
    }
    assert probability_seg(series, labels.astype(np.float32), weights="x").NumberOfFrames == 4
    assert secondary_capture(series, np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(BadData, match="slices are missing"):
        read_dicom(write_series(tmp_path / "gap", change=lambda d, n: None if n == 9 else _one_frame(d, n)))


def _scaled(folder: Path, slopes: np.ndarray, intercepts: np.ndarray, stored: np.ndarray) -> list[str]:
    def scale(data: Dataset, number: int) -> Dataset:
        data.RescaleSlope, data.RescaleIntercept = f"{slopes[number]:.6g}", f"{intercepts[number]:.6g}"
        return data

    scan = read_dicom(write_series(folder, stored, change=scale)).scan
    return [flag.text for flag in scan.flags if flag.code == "slice-scaling-odd"]


_COUNT = _HEAD.shape[2]


@pytest.mark.parametrize("factor", [3.0, 0.3, 1.5, -1.0, 10.0])
@pytest.mark.parametrize("slices", [(4,), (_COUNT // 2,), (_COUNT - 9,), (10, 11), (8, 20)])
def test_a_damaged_slope_is_told_with_its_slice(factor: float, slices: tuple[int, ...], tmp_path: Path) -> None:
    slopes = np.ones(_COUNT)
    slopes[list(slices)] = factor
    message = _scaled(tmp_path, slopes, np.zeros(_COUNT), _HEAD)
    groups = ["Slices 11 to 12"] if slices == (10, 11) else [f"Slice {k + 1} " for k in slices]
    assert len(message) == len(groups)
    assert all(text.startswith(group) for text, group in zip(message, groups, strict=True))


@pytest.mark.parametrize("number", range(22))
def test_a_slope_of_three_is_told_in_every_slice(number: int, tmp_path: Path) -> None:
    slopes = np.where(np.arange(22) == number, 3.0, 1.0)
    assert len(_scaled(tmp_path, slopes, np.zeros(22), sample())) == 1


def test_a_damaged_intercept_is_told(tmp_path: Path) -> None:
    intercepts = np.where(np.arange(_COUNT) == 12, 900.0, 0.0)
    assert _scaled(tmp_path, np.ones(_COUNT), intercepts, _HEAD)[0].startswith("Slice 13 ")


def test_slopes_of_its_own_for_each_slice_are_no_damage(tmp_path: Path) -> None:
    """As Philips and PET write them: each slice stored over the whole range, or in steps of its own."""
    random = np.random.default_rng(0)
    highest = np.maximum(_HEAD.max(axis=(0, 1)), 1)
    for name, slopes in {
        "each to its maximum": highest / 4095,
        "drawn": random.uniform(0.3, 3, _COUNT),
        "two halves": np.where(np.arange(_COUNT) < _COUNT // 2, 0.5, 2.0),
        "one of another kind": np.where(np.arange(_COUNT) == 12, 0.25, 1.0),
        "the same": np.full(_COUNT, 0.7),
    }.items():
        stored = np.round(_HEAD / slopes).astype(np.uint16)
        assert _scaled(tmp_path / name, slopes, np.zeros(_COUNT), stored) == [], name
