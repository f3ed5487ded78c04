"""The source's headers as objects that refer to it can copy them: what DICOM allows in place of what is missing or malformed."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from insula.io.dicom.evidence import MR_IMAGES
from insula.io.dicom.slices import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["conforming", "name_true_classes"]

_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_IMAGE = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "InstanceNumber",
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
    "DimensionIndexSequence",
    "DimensionOrganizationSequence",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "SamplesPerPixel",
    "PhotometricInterpretation",
)

_SINGLE = "1.2.840.10008.5.1.4.1.1.4"  # MR image: what has one frame is laid out as one
_MANY = "1.2.840.10008.5.1.4.1.1.4.1"  # enhanced MR image
_PLACES = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
}


def _text(most: int) -> Callable[[str], bool]:
    return lambda value: len(value) <= most and "\\" not in value and value.isprintable()


def _date(value: str) -> bool:
    try:
        return len(value) == 8 and bool(datetime.datetime.strptime(value, "%Y%m%d"))
    except ValueError:
        return False


def _name(value: str) -> bool:
    return value.count("=") <= 2 and all(_text(64)(group) and group.count("^") <= 4 for group in value.split("="))


_OF_ALL: dict[str, Callable[[str], bool]] = {
    "PatientName": _name,
    "PatientID": _text(64),
    "PatientBirthDate": _date,
    "PatientSex": lambda value: value in {"M", "F", "O"},
    "StudyDate": _date,
    "StudyTime": lambda value: bool(_TIME.fullmatch(value)),
    "StudyID": _text(16),
    "AccessionNumber": _text(16),
    "ReferringPhysicianName": _name,
    "StudyDescription": _text(64),
    "PositionReferenceIndicator": _text(64),
}


def conforming(headers: Sequence[Dataset], *, name: str, step_mm: float) -> list[Dataset]:
    """Headers for what is written beside the slices: patient, study, place and identity, and nothing else.

    Patient and study are those of the first slice that has a conforming value; otherwise they are empty, as the standard
    allows for what is not known. Identifiers that are missing or malformed are made from the series' own, the same ones
    each time.

    Args:
        headers: of one series, in the order of its slices.
        name: of the scan, from which a missing identifier of the series is made.
        step_mm: between slices, for those that do not say how thick they are.

    Source:
        DICOM PS3.3 C.7.1.1 and C.7.2.1 (type 2 attributes), PS3.5 6.2 (value representations).
    """
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    with quiet():
        series = _first(headers, "SeriesInstanceUID", _is_uid) or generate_uid(entropy_srcs=[name, "series"])
        shared: dict[str, Any] = {key: _first(headers, key, fits) for key, fits in _OF_ALL.items()}
        for key in ("StudyInstanceUID", "FrameOfReferenceUID"):
            shared[key] = _first(headers, key, _is_uid) or generate_uid(entropy_srcs=[series, key])
        out = []
        for number, header in enumerate(headers):
            made = Dataset()
            made.SpecificCharacterSet, made.Modality, made.SeriesInstanceUID = "ISO_IR 192", "MR", series
            for key, value in shared.items():
                setattr(made, key, value)
            source = _single(header)
            many = bool(source.get("PerFrameFunctionalGroupsSequence"))
            for key in _IMAGE:
                if key in source and (many or key != "NumberOfFrames"):
                    made[key] = source[key]
            made.SeriesNumber = _whole(header, "SeriesNumber")
            known = _valid(header, "SOPClassUID", MR_IMAGES.__contains__)
            made.SOPClassUID = (known or _MANY) if many else (known if source is header else "") or _SINGLE
            made.SOPInstanceUID = _valid(header, "SOPInstanceUID", _is_uid) or generate_uid(
                entropy_srcs=[series, str(number)]
            )
            if not many:
                thickness = _number(source, "SliceThickness")
                made.SliceThickness = thickness if thickness is not None and thickness > 0 else step_mm
            made.file_meta = header.file_meta
            out.append(made)
    return out


def name_true_classes(made: Dataset, headers: Sequence[Dataset], references: Sequence[Dataset]) -> None:
    """Have an object name its sources by the class that they have, where `conforming` laid them out as another.

    Args:
        made: the object; changed.
        headers: of the source.
        references: what `conforming` made of them.
    """
    classes = {
        str(reference.SOPInstanceUID): known
        for header, reference in zip(headers, references, strict=True)
        if (known := _valid(header, "SOPClassUID", MR_IMAGES.__contains__)) and known != reference.SOPClassUID
    }
    if classes:
        _rename(made, classes)


def _rename(data: Dataset, classes: dict[str, Any]) -> None:
    if (found := classes.get(str(data.get("ReferencedSOPInstanceUID")))) is not None:
        data.ReferencedSOPClassUID = found
    for element in data:
        if element.VR == "SQ":
            for item in element.value:
                _rename(item, classes)


def _single(header: Dataset) -> Dataset:
    """A header as it is, but one of a single frame with place and size as an image that never had frames tells them."""
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups or len(groups) != 1:
        return header
    from pydicom import Dataset

    made = Dataset()
    for key in _IMAGE:
        if key in header and "Sequence" not in key and key != "NumberOfFrames":
            made[key] = header[key]
    for group in (groups[0], *(header.get("SharedFunctionalGroupsSequence") or [])):
        for sequence, keys in _PLACES.items():
            for item in (group.get(sequence) or [])[:1]:
                for key in keys:
                    if key in item and key not in made:
                        made[key] = item[key]
    return made


def _first(headers: Sequence[Any], key: str, fits: Callable[[str], bool]) -> str:
    return next((value for header in headers if (value := _valid(header, key, fits))), "")


def _valid(header: Any, key: str, fits: Callable[[str], bool]) -> str:
    """The value as text where it conforms; empty otherwise."""
    try:
        value = header.get(key)
        text = "" if value is None else str(value).strip()
    except Exception:  # pydicom raises whatever its conversion trips over
        return ""
    return text if text and fits(text) else ""


def _is_uid(value: str) -> bool:
    return len(value) <= 64 and bool(_UID.fullmatch(value))


def _whole(header: Any, key: str) -> int | None:
    value = _number(header, key)
    return int(value) if value is not None and 0 <= value < 1_000_000 else None


def _number(header: Any, key: str) -> float | None:
    """The value as a finite number, if it is one."""
    try:
        value = float(str(header.get(key)))
    except Exception:  # as above
        return None
    return value if math.isfinite(value) else None
