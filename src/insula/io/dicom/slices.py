"""What is known of a DICOM image before its pixels are read: one `Slice` for each, and nothing that names a person."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from insula.errors import BadData, Unavailable
from insula.io.dicom.file import read_header

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Slice", "quiet", "read_slices", "slices_of"]

_DICOMDIR = "1.2.840.10008.1.3.10"
_MOST_FRAMES = 100_000
_MODALITIES = frozenset(
    [
        "MR",
        "CT",
        "PT",
        "US",
        "CR",
        "DX",
        "XA",
        "NM",
        "RF",
        "MG",
        "OT",
        "SC",
        "SR",
        "SEG",
        "PR",
        "KO",
        "REG",
        "RTSTRUCT",
        "RTDOSE",
        "RTPLAN",
        "RTIMAGE",
        "ECG",
        "DOC",
    ]
)
"""What may be shown: an exporter can write anything there."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One image, or one frame of an image that holds many."""

    path: Path
    frame: int | None
    """Which of the file's frames, from 0; None in a file of one image."""
    uid: str
    """SOP instance UID."""
    sop_class: str
    series: str
    """Series instance UID."""
    patient: str
    """A hash of the patient's ID, or of the name where there is none; only to tell two patients apart."""
    modality: str
    """Spelled as in DICOM; `another` for what is no modality of the standard, empty where there is none."""
    kind: tuple[str, ...]
    """ImageType, e.g. ORIGINAL, PRIMARY, M."""
    part: Literal["magnitude", "phase", "real", "imaginary"]
    """The part of the complex image."""
    words: str
    """Descriptions of series, protocol and sequence, in lower case, spaces between words: to choose by, never to be shown."""
    series_number: int | None
    number: int | None
    """InstanceNumber."""
    shape: tuple[int, int]
    """Rows, columns."""
    position: tuple[float, ...] | None
    """Of the first pixel's centre [mm], LPS."""
    axes: tuple[float, ...] | None
    """Direction of a row, then of a column, LPS."""
    spacing_mm: tuple[float, float] | None
    """Between rows, between columns."""
    thickness_mm: float | None
    echo_ms: float | None
    repetition_ms: float | None
    inversion_ms: float | None
    b_value: float
    """Diffusion weighting [s/mm2]; 0 where there is none."""
    acquired_for: str
    """AcquisitionContrast of enhanced images, e.g. T1; empty elsewhere."""
    sequence: tuple[str, ...]
    """ScanningSequence, e.g. GR, IR, EP."""
    contrast: bool
    """Whether an attribute says that a contrast agent was given."""
    acquisition: int | None
    """AcquisitionNumber."""
    time: tuple[str, ...]
    """What tells repeated volumes of one series apart: echo, acquisition, phase."""


@contextmanager
def quiet() -> Iterator[None]:
    """pydicom says what it wonders about with the value in it, which may be a name; here it says nothing."""
    log = logging.getLogger("pydicom")
    level, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = level


def read_slices(path: Path) -> list[Slice]:
    """The images in a file; none where it is no DICOM image.

    Args:
        path: any file.

    Raises:
        Unavailable: pydicom is not installed.
        BadData: a DICOM file that breaks off in its header, or a DICOMDIR that points out of its folder.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise Unavailable("DICOM", "", "needs pydicom", "run: pip install 'insula[dicom]'") from None
    with quiet():
        try:
            data = read_header(path)
        except Exception:  # of a broken file pydicom raises whatever its parser trips over
            raise BadData("a DICOM file", "", "breaks off in its header", "copy the series again") from None
        if data is None:
            return []
        try:
            return slices_of(path, data)
        except (TypeError, ValueError, AttributeError, IndexError, KeyError):
            raise BadData("a DICOM header", "", "holds values that are none", "export the series again") from None


def slices_of(path: Path, data: Dataset) -> list[Slice]:
    """The images that a header describes; one for each frame, none where it is no image's."""
    if getattr(data, "file_meta", None) is not None and data.file_meta.get("MediaStorageSOPClassUID") == _DICOMDIR:
        _refuse_far_references(data)
        return []
    if "Rows" not in data or "SeriesInstanceUID" not in data:
        if "Image Storage" in _kind(data):
            raise BadData("a DICOM image", "", "breaks off in its header", "copy the series again")
        return []
    frames = int(data.get("NumberOfFrames") or 1)
    if frames > _MOST_FRAMES:
        raise BadData("a DICOM file", f"of {frames:,} frames", "has too many", "check where it comes from")
    if "PerFrameFunctionalGroupsSequence" not in data:
        return [_slice(path, data, None if frames == 1 else number, ()) for number in range(frames)]
    shared = list(data.get("SharedFunctionalGroupsSequence") or [])
    groups = list(data.PerFrameFunctionalGroupsSequence)
    if len(groups) != frames:
        raise BadData("a DICOM file", f"of {frames} frames", f"describes {len(groups)}", "export the series again")
    if frames == 1:  # as some scanners export the slices of an enhanced image
        return [_slice(path, data, None, (groups[0], *shared))]
    return [_slice(path, data, number, (group, *shared)) for number, group in enumerate(groups)]


def _modality(data: Dataset) -> str:
    told = str(data.get("Modality") or "").strip()
    return told if told in _MODALITIES or not told else "another"


def _kind(data: Dataset) -> str:
    """The name of what a file says it holds; empty if it does not say."""
    meta = getattr(data, "file_meta", None)
    uid = (meta or data).get("MediaStorageSOPClassUID") or data.get("SOPClassUID")
    return "" if uid is None else uid.name


def _slice(path: Path, data: Dataset, frame: int | None, groups: tuple[Dataset, ...]) -> Slice:
    def find(sequence: str, keyword: str) -> Any:
        """Where a frame has its own value, that; else the file's."""
        for group in groups:
            items = group.get(sequence)
            if items and keyword in items[0]:
                return items[0][keyword].value
        return data.get(keyword)

    spacing = _numbers(find("PixelMeasuresSequence", "PixelSpacing"), 2)
    words = " ".join(
        str(data.get(key) or "") for key in ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    )
    kind = tuple(
        str(word).upper().strip()
        for word in _many(find("MRImageFrameTypeSequence", "FrameType") or data.get("ImageType"))
    )
    inversions = _many(find("MRModifierSequence", "InversionTimes"))
    number = data.get("InstanceNumber")
    content = [group.FrameContentSequence[0] for group in groups if group.get("FrameContentSequence")]
    return Slice(
        path=path,
        frame=frame,
        uid=str(data.get("SOPInstanceUID") or ""),
        sop_class=str(data.get("SOPClassUID") or ""),
        series=str(data.SeriesInstanceUID),
        patient=hashlib.sha256(str(data.get("PatientID") or data.get("PatientName") or "").encode()).hexdigest()[:16],
        modality=_modality(data),
        kind=kind,
        part=_part(kind, str(find("MRImageFrameTypeSequence", "ComplexImageComponent") or "")),
        words=_plain(words),
        series_number=_whole(data.get("SeriesNumber")),
        number=frame + 1 if frame is not None else _whole(number),
        shape=(int(data.Rows), int(data.Columns)),
        position=_numbers(find("PlanePositionSequence", "ImagePositionPatient"), 3),
        axes=_numbers(find("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        thickness_mm=_number(find("PixelMeasuresSequence", "SliceThickness")),
        echo_ms=_number(find("MREchoSequence", "EffectiveEchoTime") or data.get("EchoTime")),
        repetition_ms=_number(find("MRTimingAndRelatedParametersSequence", "RepetitionTime")),
        inversion_ms=_number(data.get("InversionTime") or (inversions[0] if inversions else None)),
        contrast=_agent_given(data),
        b_value=_number(find("MRDiffusionSequence", "DiffusionBValue")) or 0.0,
        acquired_for=str(find("MRImageFrameTypeSequence", "AcquisitionContrast") or "").upper().strip(),
        sequence=tuple(str(word).upper().strip() for word in _many(data.get("ScanningSequence"))),
        acquisition=_whole(data.get("AcquisitionNumber")),
        time=tuple(str(data.get(key) or "") for key in ("EchoNumbers", "TemporalPositionIdentifier"))
        + tuple(str(one.get("TemporalPositionIndex") or "") for one in content),
    )


def _plain(words: str) -> str:
    """In lower case, whatever parts words (underscores, hyphens, dots, a change of case) replaced by one space; `+` and `*` stay."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)
    return " ".join(re.sub(r"[^0-9a-z+*]+", " ", f"{words} {apart}".lower()).split())


def _part(kind: tuple[str, ...], component: str) -> Literal["magnitude", "phase", "real", "imaginary"]:
    """What of the complex image it is: the enhanced object's own word, or ImageType's third value and those after it."""
    told = {*kind[2:], component.upper().strip()}
    if told & {"P", "PHASE", "PHASE MAP", "PHASE_MAP"}:
        return "phase"
    if told & {"R", "REAL", "R_FFE", "R_SE", "R_IR"}:
        return "real"
    return "imaginary" if told & {"I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"} else "magnitude"


def _agent_given(data: Dataset) -> bool:
    """By the attributes of the contrast module; `NONE` or a volume of 0 says that there was no agent."""
    if str(data.get("ContrastBolusAgent") or "").strip().upper() not in ("", "NONE", "NO", "N", "0"):
        return True
    if data.get("ContrastBolusAgentSequence") or str(data.get("ContrastBolusStartTime") or "").strip():
        return True
    amounts = (data.get("ContrastBolusVolume"), data.get("ContrastBolusTotalDose"))
    return any(amount not in (None, "") and float(amount) > 0 for amount in amounts)


def _refuse_far_references(data: Dataset) -> None:
    for record in data.get("DirectoryRecordSequence") or []:
        parts = [str(part) for part in _many(record.get("ReferencedFileID"))]
        if any(part == ".." or "/" in part or "\\" in part or ":" in part for part in parts):
            raise BadData("the DICOMDIR", "", "points out of its folder", "do not use it; give the image files alone")


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    found = tuple(float(one) for one in _many(value))
    return found if len(found) == count else None


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _whole(value: Any) -> int | None:
    return None if value in (None, "") else int(value)
