"""A segmentation lies on its slices, says what it is made from, and is valid when nothing was found."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread

from insula.errors import BadData
from insula.io.dicom import DicomScan, lesion_seg, probability_seg, read_dicom, save_dicom
from io_series import SHAPE, enhanced, sample, write_series

_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


def _oblique(data: Dataset, number: int) -> Dataset:
    angle = np.radians(20)
    row, column = np.array([np.cos(angle), np.sin(angle), 0]), np.array([0.0, 0.0, -1.0])
    data.ImageOrientationPatient = [*row.round(8), *column]
    data.ImagePositionPatient = list((np.array([5.0, -40.0, 30.0]) + 3.0 * number * np.cross(row, column)).round(8))
    return data


def _labels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint16)
    labels[2:6, 3:9, 4:7] = 1
    labels[12:15, 20:22, 15] = 2
    return labels


@pytest.fixture(params=["axial", "oblique", "many frames"])
def series(request: pytest.FixtureRequest, tmp_path: Path) -> DicomScan:
    if request.param == "many frames":
        return read_dicom(enhanced(sample(), tmp_path / "many.dcm"))
    return read_dicom(write_series(tmp_path / "in", change=_oblique if request.param == "oblique" else None))


def _placed(path: Path) -> dict[int, set[tuple[float, ...]]]:
    """The LPS millimetres of every voxel of each segment, as highdicom reads them."""
    seg = hd.seg.segread(path)
    out = {}
    for number in seg.segment_numbers:
        volume = seg.get_volume(segment_numbers=[number], combine_segments=True, relabel=True)
        index = np.argwhere(volume.array > 0)
        places = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        out[number] = {tuple(place) for place in places.round(2).tolist()}
    return out


def test_every_voxel_lies_where_it_was_found(series: DicomScan, tmp_path: Path) -> None:
    labels = _labels()
    save_dicom(tmp_path / "seg.dcm", lesion_seg(series, labels, weights="tiny"))
    lps = _TURN @ series.scan.grid.affine
    there = _placed(tmp_path / "seg.dcm")
    assert sorted(there) == [1, 2]
    for number in (1, 2):
        wanted = np.argwhere(labels == number) @ lps[:3, :3].T + lps[:3, 3]
        assert {tuple(place) for place in wanted.round(2).tolist()} == there[number]


def test_the_second_volume_of_a_file_is_referred_to_by_its_own_frames(tmp_path: Path) -> None:
    """Two echoes in one file, of which the second is chosen: highdicom names the frames of both."""
    data = dcmread(enhanced(sample(), tmp_path / "two.dcm"))
    frames, pixels = data.PerFrameFunctionalGroupsSequence, data.PixelData
    both = [*deepcopy(frames), *frames]
    for number, group in enumerate(both):
        group.MREchoSequence = [Dataset()]
        group.MREchoSequence[0].EffectiveEchoTime = 3.0 if number >= len(frames) else 5.0
    data.PerFrameFunctionalGroupsSequence, data.NumberOfFrames, data.PixelData = both, len(both), 2 * pixels
    data.save_as(tmp_path / "two.dcm")
    series = read_dicom(tmp_path / "two.dcm")
    assert sorted(series.frames) == list(range(SHAPE[2], 2 * SHAPE[2]))
    assert "first-images-missing" not in {flag.code for flag in series.scan.flags}
    seg = lesion_seg(series, _labels(), weights="tiny")
    named = set()
    for group in seg.PerFrameFunctionalGroupsSequence:
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        named.add(image.ReferencedFrameNumber)
        source = both[image.ReferencedFrameNumber - 1].PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(group.PlanePositionSequence[0].ImagePositionPatient, source)
    assert min(named) > SHAPE[2]
    save_dicom(tmp_path / "seg.dcm", seg)
    lps = _TURN @ series.scan.grid.affine
    wanted = np.argwhere(_labels() == 1) @ lps[:3, :3].T + lps[:3, 3]
    assert {tuple(place) for place in wanted.round(2).tolist()} == _placed(tmp_path / "seg.dcm")[1]


def test_simpleitk_puts_the_first_voxel_there_too(tmp_path: Path) -> None:
    """It knows no segments, but sizes, directions and places of frames."""
    series = read_dicom(write_series(tmp_path / "in", change=_oblique))
    labels = np.ones(SHAPE, np.uint16)
    save_dicom(tmp_path / "seg.dcm", lesion_seg(series, labels, weights="tiny"))
    image = sitk.ReadImage(str(tmp_path / "seg.dcm"))
    assert image.GetSize() == SHAPE
    np.testing.assert_allclose(image.GetSpacing(), series.scan.grid.spacing_mm, atol=1e-3)
    lps = _TURN @ series.scan.grid.affine
    corners = list(product(*((0, n - 1) for n in SHAPE)))  # frames may run either way
    ours = sorted(tuple((lps @ [*corner, 1])[:3].round(3).tolist()) for corner in corners)
    theirs = sorted(tuple(np.round(image.TransformIndexToPhysicalPoint(corner), 3).tolist()) for corner in corners)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_it_refers_to_its_slices_and_carries_their_patient(series: DicomScan, tmp_path: Path) -> None:
    save_dicom(tmp_path / "seg.dcm", lesion_seg(series, _labels(), weights="tiny"))
    data = dcmread(tmp_path / "seg.dcm")
    first = series.headers[0]
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert data[keyword].value == first[keyword].value
    assert data.SeriesInstanceUID != first.SeriesInstanceUID
    referenced = {
        instance.ReferencedSOPInstanceUID for instance in data.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == {instance.SOPInstanceUID for instance in series.headers}
    for segment in data.SegmentSequence:
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Infarct"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.TrackingUID


def test_nothing_found_is_a_valid_answer(series: DicomScan, tmp_path: Path) -> None:
    save_dicom(tmp_path / "seg.dcm", lesion_seg(series, np.zeros(SHAPE, np.uint16), weights="tiny"))
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    assert seg.number_of_segments == 1
    assert not seg.pixel_array.any()
    assert seg.NumberOfFrames == SHAPE[2]


def test_chances_are_kept_to_a_255th(series: DicomScan, tmp_path: Path) -> None:
    prob = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    save_dicom(tmp_path / "prob.dcm", probability_seg(series, prob, weights="tiny"))
    seg = hd.seg.segread(tmp_path / "prob.dcm")
    volume = seg.get_volume(combine_segments=False, rescale_fractional=True)
    lps = _TURN @ series.scan.grid.affine
    index = np.indices(SHAPE).reshape(3, -1)
    places = lps @ np.vstack([index, np.ones(index.shape[1])])
    there = np.round(np.linalg.inv(volume.affine) @ places)[:3].astype(int)
    read = volume.array[..., 0] if volume.array.ndim == 4 else volume.array
    np.testing.assert_allclose(read[tuple(there)], prob.ravel(), atol=0.5 / 255 + 1e-6)


def test_the_same_result_has_the_same_uids_and_another_has_others(series: DicomScan) -> None:
    first, again, of_other_weights = (lesion_seg(series, _labels(), weights=name) for name in ("a", "a", "b"))
    assert first.SOPInstanceUID == again.SOPInstanceUID
    other = lesion_seg(series, _labels()[::-1].copy(), weights="a")  # as another threshold would give
    assert len({first.SOPInstanceUID, of_other_weights.SOPInstanceUID, other.SOPInstanceUID}) == 3


def test_a_mask_of_another_scan_is_refused(series: DicomScan) -> None:
    with pytest.raises(BadData, match="not on the scan's grid"):
        lesion_seg(series, np.zeros((2, 2, 2), np.uint16), weights="tiny")


def _code(item: Dataset) -> tuple[str, str, str]:
    return item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning


@pytest.mark.parametrize("number", [3, None])
def test_what_viewers_show(number: int | None, tmp_path: Path) -> None:
    scan = read_dicom(write_series(tmp_path / "in", SeriesNumber=number))
    lesions, chances = lesion_seg(scan, _labels(), weights="w"), probability_seg(scan, _labels() / 2, weights="w")
    for data, label, words, kind, place in (
        (lesions, "LESION", "insula lesions", "BINARY", 9000),
        (chances, "PROBABILITY", "insula lesion probability", "FRACTIONAL", 9001),
    ):
        assert (data.ContentLabel, data.SeriesDescription, data.SegmentationType) == (label, words, kind)
        assert data.SeriesNumber == place + (number or 0)
        assert data.InstanceNumber == 1
        assert (data.Manufacturer, data.ManufacturerModelName, data.DeviceSerialNumber) == ("insula", "insula", "0")
    assert chances.MaximumFractionalValue == 255
    assert [segment.SegmentLabel for segment in lesions.SegmentSequence] == ["Stroke lesion 1", "Stroke lesion 2"]
    assert [segment.TrackingID for segment in lesions.SegmentSequence] == ["lesion 1", "lesion 2"]
    (alone,) = lesion_seg(scan, _labels() // 2, weights="x" * 80, corrected=True).SegmentSequence
    assert (alone.SegmentLabel, alone.SegmentAlgorithmType) == ("Stroke lesion", "SEMIAUTOMATIC")
    for segment in (*lesions.SegmentSequence, alone):
        assert _code(segment.SegmentedPropertyTypeCodeSequence[0]) == ("55641003", "SCT", "Infarct")
        assert _code(segment.SegmentedPropertyCategoryCodeSequence[0])[:2] == ("49755003", "SCT")
        assert _code(segment.AnatomicRegionSequence[0]) == ("12738006", "SCT", "Brain")
    named = [s.SegmentationAlgorithmIdentificationSequence[0] for s in (lesions.SegmentSequence[0], alone)]
    assert [item.AlgorithmName for item in named] == ["insula w", "insula " + "x" * 57]
    assert _code(named[0].AlgorithmFamilyCodeSequence[0])[2] == "Artificial Intelligence"


def test_two_patients_whose_series_share_a_uid_get_objects_of_their_own(tmp_path: Path) -> None:
    first, second = (read_dicom(write_series(tmp_path / str(n), sample(n))) for n in range(2))
    assert first.headers[0].SeriesInstanceUID == second.headers[0].SeriesInstanceUID
    one, other = (lesion_seg(scan, _labels(), weights="a") for scan in (first, second))
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert (
        len(
            {
                one.SeriesInstanceUID,
                one.SOPInstanceUID,
                probability_seg(first, _labels() / 2, weights="a").SeriesInstanceUID,
            }
        )
        == 3
    )


@pytest.mark.wrong_types
def test_more_lesions_than_an_object_can_hold_are_refused(tmp_path: Path) -> None:
    scan = read_dicom(write_series(tmp_path / "in"))
    labels = np.zeros(SHAPE, np.uint32)
    labels[0, 0, 0] = 65_536  # one more than the largest number of a segment
    with pytest.raises(BadData, match="of 65,536 lesions has too many"):
        lesion_seg(scan, labels, weights="a")  # type: ignore[arg-type]


def test_only_files_of_the_standard_are_written(series: DicomScan, tmp_path: Path) -> None:
    seg = lesion_seg(series, _labels(), weights="tiny")
    save_dicom(tmp_path / "seg.dcm", seg)
    assert (tmp_path / "seg.dcm").read_bytes()[:132] == bytes(128) + b"DICM"
    del seg.SOPInstanceUID, seg.file_meta.MediaStorageSOPInstanceUID
    with pytest.raises(AttributeError):
        save_dicom(tmp_path / "other.dcm", seg)
    assert not (tmp_path / "other.dcm").exists()
