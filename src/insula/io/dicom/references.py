"""Makes headers that derived objects can copy: missing or malformed values become what the standard allows."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

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

_SINGLE = "1.2.840.10008.5.1.4.1.1.4"  # MR image: the layout of any image with one frame
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


_SHARED: dict[str, Callable[[str], bool]] = {
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
    """Return headers for derived objects that hold only patient, study, geometry and identifiers.

    Patient and study values are those of the first slice with a conforming value; otherwise they are empty, as the
    standard allows for unknown values. Missing or malformed identifiers are derived from the series' own identifiers,
    so that they are the same every time.

    Args:
        headers: headers of one series, in the order of its slices.
        name: name of the scan, from which a missing series identifier is derived.
        step_mm: distance between slices [mm], used as the thickness of slices that state none.

    Source:
        DICOM PS3.3 C.7.1.1 and C.7.2.1 (type 2 attributes), PS3.5 6.2 (value representations).
    """
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    with quiet():
        series = _first(headers, "SeriesInstanceUID", _is_uid) or generate_uid(entropy_srcs=[name, "series"])
        shared: dict[str, str] = {key: _first(headers, key, fits) for key, fits in _SHARED.items()}
        for key in ("StudyInstanceUID", "FrameOfReferenceUID"):
            shared[key] = _first(headers, key, _is_uid) or generate_uid(entropy_srcs=[series, key])
        references = []
        for number, header in enumerate(headers):
            reference = Dataset()
            reference.SpecificCharacterSet, reference.Modality, reference.SeriesInstanceUID = "ISO_IR 192", "MR", series
            for key, value in shared.items():
                setattr(reference, key, value)
            source = _single(header)
            many = bool(source.get("PerFrameFunctionalGroupsSequence"))
            for key in _IMAGE:
                if key in source and (many or key != "NumberOfFrames"):
                    reference[key] = source[key]
            reference.SeriesNumber = _whole(header, "SeriesNumber")
            known = _valid(header, "SOPClassUID", MR_IMAGES.__contains__)
            reference.SOPClassUID = (known or _MANY) if many else (known if source is header else "") or _SINGLE
            reference.SOPInstanceUID = _valid(header, "SOPInstanceUID", _is_uid) or generate_uid(
                entropy_srcs=[series, str(number)]
            )
            if not many:
                thickness = _number(source, "SliceThickness")
                reference.SliceThickness = thickness if thickness is not None and thickness > 0 else step_mm
            reference.file_meta = header.file_meta
            references.append(reference)
    return references


def name_true_classes(derived: Dataset, headers: Sequence[Dataset], references: Sequence[Dataset]) -> None:
    """Restore the true SOP classes of an object's sources where `conforming` laid them out as another class.

    Args:
        derived: the object that refers to the sources; changed in place.
        headers: headers of the source images.
        references: the result of `conforming` for these headers.
    """
    classes = {
        str(reference.SOPInstanceUID): known
        for header, reference in zip(headers, references, strict=True)
        if (known := _valid(header, "SOPClassUID", MR_IMAGES.__contains__)) and known != reference.SOPClassUID
    }
    if classes:
        _rename(derived, classes)


def _rename(data: Dataset, classes: dict[str, str]) -> None:
    if (true_class := classes.get(str(data.get("ReferencedSOPInstanceUID")))) is not None:
        data.ReferencedSOPClassUID = true_class
    for element in data:
        if element.VR == "SQ":
            for item in element.value:
                _rename(item, classes)


def _single(header: Dataset) -> Dataset:
    """Return the header; that of a one-frame enhanced image gets position and size as in a plain MR image."""
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups or len(groups) != 1:
        return header
    from pydicom import Dataset

    plain = Dataset()
    for key in _IMAGE:
        if key in header and "Sequence" not in key and key != "NumberOfFrames":
            plain[key] = header[key]
    for group in (groups[0], *(header.get("SharedFunctionalGroupsSequence") or [])):
        for sequence, keys in _PLACES.items():
            for item in (group.get(sequence) or [])[:1]:
                for key in keys:
                    if key in item and key not in plain:
                        plain[key] = item[key]
    return plain


def _first(headers: Sequence[Dataset], key: str, fits: Callable[[str], bool]) -> str:
    return next((value for header in headers if (value := _valid(header, key, fits))), "")


def _valid(header: Dataset, key: str, fits: Callable[[str], bool]) -> str:
    """Return the value as text if it conforms; otherwise empty."""
    try:
        value = header.get(key)
        text = "" if value is None else str(value).strip()
    except Exception:  # pydicom raises errors of any class when a conversion fails
        return ""
    return text if text and fits(text) else ""


def _is_uid(value: str) -> bool:
    return len(value) <= 64 and bool(_UID.fullmatch(value))


def _whole(header: Dataset, key: str) -> int | None:
    value = _number(header, key)
    return int(value) if value is not None and 0 <= value < 1_000_000 else None


def _number(header: Dataset, key: str) -> float | None:
    """Return the value if it is a finite number; otherwise None."""
    try:
        value = float(str(header.get(key)))
    except Exception:  # as above
        return None
    return value if math.isfinite(value) else None
