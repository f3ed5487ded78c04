"""Whatever a source's attributes hold, objects that refer to it are written, or it is refused in words of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from insula.errors import InsulaError
from insula.io.dicom import lesion_seg, measurement_sr, probability_seg, read_dicom, save_dicom, secondary_capture
from insula.io.dicom.references import conforming, name_true_classes
from insula.io.dicom.slices import quiet
from io_series import header, sample, write_series

_CANARY = b"CANARY^1960-01-01 "
_IMAGE = sample(shape=(8, 10, 6))
_KEYS = sorted(
    {element.keyword for element in header(0)} - {"", "PixelData"}
    | {
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
        "PositionReferenceIndicator",
        "FrameOfReferenceUID",
        "SeriesNumber",
        "InstanceNumber",
        "PatientAge",
        "PatientWeight",
    }
)


def _without(data: Dataset, key: str) -> None:
    if key in data:
        del data[key]


def _emptied(data: Dataset, key: str) -> None:
    setattr(data, key, None)


def _malformed(data: Dataset, key: str) -> None:
    """The bytes as a broken exporter writes them: no check sees them before we do."""
    if key not in data:
        setattr(data, key, None)
    element = data[key]
    raw = RawDataElement(element.tag, element.VR, len(_CANARY), _CANARY, 0, False, True)
    data._dict[element.tag] = raw


@pytest.mark.parametrize("damage", [_without, _emptied, _malformed])
@pytest.mark.parametrize("key", _KEYS)
def test_every_attribute_removed_emptied_or_malformed(
    key: str, damage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)

    def change(data: Dataset, number: int) -> Dataset:
        damage(data, key)
        return data

    try:
        with quiet():
            folder = write_series(tmp_path / "series", _IMAGE, change=change)
    except Exception:  # pydicom does not write such a file at all
        pytest.skip("pydicom refuses to write such a file, so no reader can meet it")
    try:
        series = read_dicom(folder)
        labels = (np.median(_IMAGE) < _IMAGE).astype(np.uint16)
        seg = lesion_seg(series, labels, weights="w")
        save_dicom(tmp_path / "seg.dcm", seg)
        save_dicom(tmp_path / "prob.dcm", probability_seg(series, labels.astype(np.float32), weights="w"))
        save_dicom(tmp_path / "sr.dcm", measurement_sr(series, seg, [1.0]))
        save_dicom(tmp_path / "sc.dcm", secondary_capture(series, np.zeros((8, 8, 3), np.uint8)))
    except InsulaError as error:
        assert "CANARY" not in str(error)
        assert "1960" not in str(error)
    printed = capsys.readouterr()
    assert "CANARY" not in printed.out + printed.err


def test_one_slice_that_knows_its_study_is_enough_and_nothing_is_made_up(tmp_path: Path) -> None:
    def change(data: Dataset, number: int) -> Dataset:
        if number != 2:
            for key in ("StudyID", "AccessionNumber"):
                _without(data, key)
        return data

    series = read_dicom(
        write_series(tmp_path / "s", change=change, StudyID="S7", PatientSex="male", PatientBirthDate="19600101")
    )
    references = series.references
    assert {str(reference.StudyID) for reference in references} == {"S7"}
    assert {reference.PatientSex for reference in references} == {""}
    assert {reference.PatientBirthDate for reference in references} == {"19600101"}
    assert [reference.SOPInstanceUID for reference in references] == [
        reference.SOPInstanceUID for reference in series.headers
    ]
    assert len({reference.FrameOfReferenceUID for reference in references}) == 1
    again = read_dicom(tmp_path / "s").references
    assert again[0].FrameOfReferenceUID == references[0].FrameOfReferenceUID


def _reference(**values: Any) -> Dataset:
    """The conforming form of one header with other values."""
    data = header(0, Rows=24, Columns=20)
    data.file_meta = FileMetaDataset()
    with quiet():
        for key, value in values.items():
            setattr(data, key, value)
    return conforming([data], name="a", step_mm=3.5)[0]


_KEPT: dict[str, tuple[list[str], list[str]]] = {  # conforming values, and others
    "PatientName": (
        ["A^B", "A^B^C^D^E", "A^B=C=D", "x" * 64, "=".join(["x" * 64] * 3)],
        ["x" * 65, "A=B=C=D", "A^B^C^D^E^F", "A\tB", "A=B^C^D^E^F^G"],
    ),
    "ReferringPhysicianName": (["A^B"], ["x" * 65]),
    "PatientID": (["P1", "x" * 64], ["x" * 65, "A\tB"]),
    "PatientBirthDate": (["19600101"], ["1960-01-01", "19601301", "1960011", "196001", "CANARY01"]),
    "PatientSex": (["M", "F", "O"], ["m", "male", "X"]),
    "StudyDate": (["20260102"], ["20260230"]),
    "StudyTime": (
        ["10", "1011", "101112", "101112.5", "235959.123456"],
        ["24", "1060", "101160", "1", "101112.1234567"],
    ),
    "StudyID": (["S1", "x" * 16], ["x" * 17]),
    "AccessionNumber": (["A1", "x" * 16], ["x" * 17]),
    "StudyDescription": (["head", "x" * 64], ["x" * 65]),
    "PositionReferenceIndicator": (["nasion", "x" * 64], ["x" * 65]),
}


@pytest.mark.parametrize("key", _KEPT)
def test_values_of_patient_and_study_are_kept_if_they_conform(key: str) -> None:
    kept, dropped = _KEPT[key]
    for value in kept:
        assert str(_reference(**{key: value})[key].value) == value
    for value in dropped:
        assert not str(_reference(**{key: value})[key].value or ""), value


def test_all_that_describes_the_image_is_kept_and_nothing_of_the_exam() -> None:
    values = {
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "InstanceNumber": 7,
        "SeriesNumber": 5,
        "ImagePositionPatient": [1, 2, 3],
        "PixelSpacing": [2, 3],
        "Rows": 9,
    }
    reference = _reference(**values, NumberOfFrames=1, PatientAge="066Y")
    for key, value in values.items():
        assert reference[key].value == value, key
    assert (reference.Modality, reference.SpecificCharacterSet) == ("MR", "ISO_IR 192")
    assert reference.SOPClassUID == MRImageStorage
    assert not {"NumberOfFrames", "PatientAge", "ProtocolName", "EchoTime"} & set(reference.dir())


@pytest.mark.parametrize(
    ("thickness", "expected"), [(2.5, 2.5), (None, 3.5), (0, 3.5), (-1, 3.5), ("nan", 3.5), ("inf", 3.5)]
)
def test_slices_without_a_thickness_get_their_distance(thickness: Any, expected: float) -> None:
    assert _reference(SliceThickness=thickness).SliceThickness == expected


@pytest.mark.parametrize(("number", "expected"), [(5, 5), (0, 0), (None, None), (-1, None), (1_000_000, None)])
def test_the_series_number_is_kept_if_it_is_one(number: int | None, expected: int | None) -> None:
    assert _reference(SeriesNumber=number).SeriesNumber == expected


@pytest.mark.parametrize("uid", ["", "1.02", "1", "a", "1." + "2" * 63])
@pytest.mark.parametrize("key", ["SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"])
def test_a_missing_identifier_is_the_same_every_time_and_differs_between_series(key: str, uid: str) -> None:
    first, again = (_reference(**{key: uid})[key].value for _ in range(2))
    assert first == again != uid
    other = {"SeriesInstanceUID": "1.2.3"} if key != "SeriesInstanceUID" else {"StudyInstanceUID": ""}
    changed = _reference(**{key: uid, **other})
    assert (changed[key].value == first) is (key == "SeriesInstanceUID")
    assert _reference(**{key: "1." + "2" * 62})[key].value == "1." + "2" * 62


_CLASSES = (MRImageStorage, EnhancedMRImageStorage, CTImageStorage)


def test_true_classes_are_named_where_they_differ() -> None:
    headers = [header(n, Rows=24, Columns=20, SOPClassUID=kind) for n, kind in enumerate(_CLASSES)]
    for data in headers:
        data.file_meta = FileMetaDataset()
    references = conforming(headers, name="a", step_mm=3.0)
    assert references[0].file_meta is headers[0].file_meta
    derived, item = Dataset(), Dataset()
    derived.ReferencedSeriesSequence = [item]
    item.ReferencedInstanceSequence = [Dataset() for _ in headers]
    for inner, reference in zip(item.ReferencedInstanceSequence, references, strict=True):
        inner.ReferencedSOPInstanceUID, inner.ReferencedSOPClassUID = reference.SOPInstanceUID, "1.2.3"
        reference.SOPClassUID = MRImageStorage
    name_true_classes(derived, headers, references)
    named = [str(inner.ReferencedSOPClassUID) for inner in item.ReferencedInstanceSequence]
    assert named == ["1.2.3", EnhancedMRImageStorage, "1.2.3"]  # the same, another, no MR image


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for key, value in values.items():
        setattr(item, key, value)
    return item


def _frames(count: int, kind: str = EnhancedMRImageStorage) -> Dataset:
    """A header of many frames that gives place and size for each frame or for all."""
    data = header(0, Rows=24, Columns=20, SOPClassUID=kind, NumberOfFrames=count)
    data.file_meta = FileMetaDataset()
    for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, key)
    data.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=[1, 2, n])]) for n in range(count)
    ]
    data.SharedFunctionalGroupsSequence = [
        _item(
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])],
            PixelMeasuresSequence=[_item(PixelSpacing=[0.5, 0.7], SliceThickness=1.25)],
        )
    ]
    return data


def test_an_enhanced_image_of_one_frame_gets_the_layout_of_a_plain_one() -> None:
    (reference,) = conforming([_frames(1)], name="a", step_mm=3.0)
    assert reference.ImagePositionPatient == [1, 2, 0]
    assert reference.ImageOrientationPatient == [0, 1, 0, 0, 0, -1]
    assert reference.PixelSpacing == [0.5, 0.7]
    assert reference.SliceThickness == 1.25
    assert (reference.Rows, reference.Columns) == (24, 20)
    assert reference.SOPClassUID == MRImageStorage
    assert not {"NumberOfFrames", "PerFrameFunctionalGroupsSequence"} & set(reference.dir())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (EnhancedMRImageStorage, EnhancedMRImageStorage),
        (LegacyConvertedEnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage),
        (CTImageStorage, EnhancedMRImageStorage),
    ],
)
def test_an_image_of_many_frames_keeps_its_frames_and_its_class(kind: str, expected: str) -> None:
    data = _frames(3, kind)
    (reference,) = conforming([data], name="a", step_mm=3.0)
    assert reference.NumberOfFrames == 3
    assert reference.PerFrameFunctionalGroupsSequence == data.PerFrameFunctionalGroupsSequence
    assert reference.SharedFunctionalGroupsSequence == data.SharedFunctionalGroupsSequence
    assert reference.SOPClassUID == expected
    assert "SliceThickness" not in reference
