"""Slices are judged by how far each lies from its place, and by what they hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage

from insula.errors import BadData, TooLarge
from insula.io.dicom import lesion_seg, measurement_sr, probability_seg, read_dicom, secondary_capture
from insula.io.dicom.slices import Slice, slices_of
from insula.io.dicom.stack import stack_slices
from io_series import ORIGIN, SPACING, header, sample, write_series


def _slices(count: int = 6, **changes: Any) -> list[Slice]:
    plain = [slices_of(Path(f"IM{n}"), header(n, Rows=24, Columns=20))[0] for n in range(count)]
    return [replace(slice_, **changes) for slice_ in plain]


def _codes(slices: list[Slice]) -> list[str]:
    return [flag.code for flag in stack_slices(slices).flags]


def test_slices_are_ordered_along_their_normal_and_their_grid_is_in_ras() -> None:
    slices = _slices()
    stack = stack_slices([slices[n] for n in (3, 0, 5, 1, 4, 2)])
    assert stack.slices == tuple(slices)
    assert stack.grid.shape == (20, 24, 6)
    expected = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    expected[:3, 3] = -ORIGIN[0], -ORIGIN[1], ORIGIN[2]
    assert np.allclose(stack.grid.affine, expected)
    assert stack.flags == ()


_UNFIT: dict[str, tuple[str, dict[str, Any]]] = {
    "another patient": ("comes from several patients", {"patient": "x"}),
    "no position": ("where its slices lie", {"position": None}),
    "no direction": ("where its slices lie", {"axes": None}),
    "no spacing": ("where its slices lie", {"spacing_mm": None}),
    "another size": ("do not all have the same size", {"shape": (24, 21)}),
    "another direction": ("do not all lie in one direction", {"axes": (1, 0.0011, 0, 0, 1, 0)}),
    "another spacing": ("is not above 0 and the same", {"spacing_mm": (2.0, 1.52)}),
    "another place": ("do not lie in one line", {"position": (-11.0, -31.0, 14.0)}),
    "the place of the next": ("1 slice lies where another does", {"position": (-12.0, -31.0, 17.0)}),
}


@pytest.mark.parametrize("name", _UNFIT)
def test_one_slice_that_does_not_fit_the_others_is_refused(name: str) -> None:
    message, changes = _UNFIT[name]
    slices = _slices()
    slices[2] = replace(slices[2], **changes)
    with pytest.raises(BadData) as error:
        stack_slices(slices)
    text = str(error.value)
    assert all(words in text for words in (message[:7], message[8:]))
    assert "echoes or time points" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spacing_mm": (0.0, 1.5)}, "is not above 0"),
        ({"spacing_mm": (0.0, 0.0)}, "is not above 0"),
        ({"spacing_mm": (-2.0, 1.5)}, "is not above 0"),
        ({"axes": (1.01, 0, 0, 0, 1, 0)}, "two right-angled unit vectors"),
        ({"axes": (1, 0, 0, 0.6, 0.8, 0)}, "two right-angled unit vectors"),
        ({"position": (0.0, 0.0, 0.0)}, "5 slices lie where others do"),
    ],
)
def test_slices_that_are_all_wrong_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadData) as error:
        stack_slices(_slices(**changes))
    assert message.split(" ", 2)[-1] in str(error.value)


def test_what_scanners_round_is_accepted() -> None:
    slices = _slices()
    slices[1] = replace(slices[1], axes=(1, 0.001, 0, 0, 1, 0), spacing_mm=(2.0, 1.51), position=(-12.1, -31.1, 11.2))
    assert _codes(slices) == []


def test_a_step_of_half_a_millimetre_is_not_the_same_place() -> None:
    slices = [replace(slice_, position=(0.0, 0.0, 0.5 * n)) for n, slice_ in enumerate(_slices())]
    assert stack_slices(slices).grid.spacing_mm[2] == 0.5


def test_several_times_in_one_place_are_named() -> None:
    with pytest.raises(BadData, match="several echoes or time points"):
        stack_slices([*_slices(time=("1",)), *(replace(s, uid=s.uid + ".1", time=("2",)) for s in _slices())])


def test_sideways_shifts_are_measured_in_voxels() -> None:
    for axis, spacing_mm in ((0, (0.5, 30.0)), (1, (30.0, 0.5))):  # a shift of 1 mm is small along the wide side
        slices = _slices(spacing_mm=spacing_mm)
        place = list(slices[2].position or ())
        place[axis] += 1.0
        slices[2] = replace(slices[2], position=tuple(place))
        assert _codes(slices) == []
        with pytest.raises(BadData, match="do not lie in one line"):
            stack_slices([replace(slice_, spacing_mm=spacing_mm[::-1]) for slice_ in slices])


def test_one_slice_is_no_volume() -> None:
    with pytest.raises(BadData, match="of 1 slice"):
        stack_slices(_slices(1))


@pytest.mark.parametrize(("rows", "refused"), [(16384, False), (16385, True), (24576, True)])
def test_an_image_may_take_two_gibibytes(rows: int, refused: bool) -> None:
    slices = _slices(2, shape=(rows, 16384))
    if refused:
        with pytest.raises(TooLarge, match=f"of 16384x{rows}x2 voxels"):
            stack_slices(slices)
    else:
        assert stack_slices(slices).grid.shape == (16384, 16384, 2)


def test_copies_are_used_once_and_counted() -> None:
    slices = _slices()
    copy, other = replace(slices[3], path=Path("A")), replace(slices[4], path=Path("ZZ"))
    stack = stack_slices([*slices, copy])
    assert stack.slices == (*slices[:3], copy, *slices[4:])  # the first by its path
    assert [flag.text for flag in stack.flags] == ["1 image occurred twice; one copy of each was used."]
    assert "2 images occurred" in stack_slices([*slices, copy, other]).flags[0].text
    with pytest.raises(BadData, match="have the same UID"):
        stack_slices([*slices, replace(copy, thickness_mm=9.0)])


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([1, 2, 3, 4, 5, 6], []),
        ([0, 1, 2, 3, 4, 5], []),
        ([6, 5, 4, 3, 2, 1], []),
        ([2, 3, 4, 5, 6, 7], ["The first image has number 2: earlier images are missing."]),
        ([1, 2, 3, 4, 5, 9], ["3 image numbers are missing."]),
        ([3, 4, 5, 6, 7, 9], ["The first image has number 3: earlier images", "1 image numbers are missing."]),
        ([3, 4, 5, 6, 7, None], []),
        ([3, 3, 5, 6, 7, 9], []),
        ([None] * 6, []),
    ],
    ids=str,
)
def test_gaps_in_the_images_numbers_are_flagged(numbers: list[int | None], texts: list[str]) -> None:
    slices = [replace(slice_, number=number) for slice_, number in zip(_slices(), numbers, strict=True)]
    flags = stack_slices(slices).flags
    assert len(flags) == len(texts)
    assert all(flag.text.startswith(text) for flag, text in zip(flags, texts, strict=True))


@pytest.mark.parametrize(("thickness_mm", "codes"), [(2.51, []), (2.49, ["slices-apart"]), (None, []), (0.0, [])])
def test_gaps_between_slices_are_flagged(thickness_mm: float | None, codes: list[str]) -> None:
    assert _codes(_slices(thickness_mm=thickness_mm)) == codes


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


@pytest.mark.parametrize("oblique", [pytest.param(False, marks=pytest.mark.long), True])
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


@pytest.mark.parametrize("decimals", [2, pytest.param(6, marks=pytest.mark.long)])
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
