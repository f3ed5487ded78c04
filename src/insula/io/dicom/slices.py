"""Describes each DICOM image before its pixels are read as a `Slice`, without anything that identifies a person."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from insula.errors import BadData, InsulaError, TooLarge, Unavailable
from insula.io.dicom.file import read_header

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["MOST_IMAGES", "OutsideReference", "Slice", "quiet", "read_slices", "slices_of"]

_DICOMDIR = "1.2.840.10008.1.3.10"
MOST_IMAGES = 200_000
"""Limit on images and frames of all files together: descriptions of 200,000 files take 400 MB, of frames 80 MB."""
_MOST_FRAMES = 100_000
_MODALITIES = frozenset(
    "MR CT PT US CR DX XA NM RF MG OT SC SR SEG PR KO REG RTSTRUCT RTDOSE RTPLAN RTIMAGE ECG DOC".split()
)
"""Modalities that may be shown; exporters can write any text in this attribute."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A single-frame image, or one frame of a multi-frame image."""

    path: Path
    frame: int | None
    """Frame number, from 0; None in a single-frame file."""
    uid: str
    """SOP instance UID."""
    sop_class: str
    series: str
    """Series instance UID."""
    patient: str
    """A hash of the patient's ID, or of the name if there is no ID; only to tell patients apart."""
    modality: str
    """Spelled as in DICOM; `another` for values outside the standard, empty if missing."""
    kind: tuple[str, ...]
    """ImageType, e.g. ORIGINAL, PRIMARY, M."""
    part: Literal["magnitude", "phase", "real", "imaginary"]
    """The part of the complex image."""
    words: str
    """Descriptions of series, protocol and sequence in lower case, separated by spaces; used to choose, never shown."""
    series_number: int | None
    number: int | None
    """InstanceNumber."""
    shape: tuple[int, int]
    """Rows, columns."""
    position: tuple[float, ...] | None
    """Position of the first pixel's centre [mm], LPS."""
    axes: tuple[float, ...] | None
    """Direction cosines of a row, then of a column, LPS."""
    spacing_mm: tuple[float, float] | None
    """Distance between rows, then between columns."""
    thickness_mm: float | None
    echo_ms: float | None
    repetition_ms: float | None
    inversion_ms: float | None
    b_value: float
    """Diffusion weighting [s/mm2]; 0 if there is none."""
    acquired_for: str
    """AcquisitionContrast of enhanced images, e.g. T1; empty elsewhere."""
    sequence: tuple[str, ...]
    """ScanningSequence, e.g. GR, IR, EP; of enhanced images what EchoPulseSequence says in its place."""
    contrast: bool
    """Whether an attribute states that a contrast agent was given."""
    acquisition: int | None
    """AcquisitionNumber."""
    time: tuple[str, ...]
    """Values that separate repeated volumes of one series: echo, acquisition, phase."""


class OutsideReference(BadData):
    """A DICOMDIR refers to files outside of its folder."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom within the block: its warnings quote values, which may be a person's name."""
    log = logging.getLogger("pydicom")
    level, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = level


def read_slices(path: Path, *, most: int = MOST_IMAGES) -> list[Slice]:
    """Read the description of every image in a file; empty if it is not a DICOM image.

    Args:
        path: any file.
        most: limit on the file's frames: what the files before it leave of `MOST_IMAGES`.

    Raises:
        Unavailable: pydicom is not installed.
        BadData: the file breaks off in its header.
        OutsideReference: the file is a DICOMDIR that points out of its folder.
        TooLarge: the file would decompress to too many bytes, or has too many frames.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise Unavailable("DICOM", "", "needs pydicom", "run: pip install 'insula[dicom]'") from None
    with quiet():
        try:
            data = read_header(path)
        except TooLarge:
            raise
        except Exception:  # pydicom raises errors of any class for a broken file
            raise BadData("a DICOM file", "", "breaks off in its header", "copy the series again") from None
        if data is None:
            return []
        try:
            return slices_of(path, data, most=most)
        except InsulaError:
            raise
        except Exception:  # values are parsed only now
            raise BadData("a DICOM header", "", "holds invalid values", "export the series again") from None


def slices_of(path: Path, data: Dataset, *, most: int = MOST_IMAGES) -> list[Slice]:
    """Return a `Slice` for each frame that a header describes; empty if it is not the header of an image.

    Raises:
        BadData: the header is incomplete or contradicts itself.
        OutsideReference: it is a DICOMDIR that points out of its folder.
        TooLarge: it states more than 100,000 frames, or more than `most`.
    """
    if getattr(data, "file_meta", None) is not None and data.file_meta.get("MediaStorageSOPClassUID") == _DICOMDIR:
        _refuse_far_references(data)
        return []
    if "Rows" not in data or "SeriesInstanceUID" not in data:
        if "Image Storage" in _kind(data):
            raise BadData("a DICOM image", "", "breaks off in its header", "copy the series again")
        return []
    frames = int(data.get("NumberOfFrames") or 1)
    if frames > _MOST_FRAMES:
        raise TooLarge("a DICOM file", f"of {frames:,} frames", "has too many", "check where it comes from")
    if frames > most:
        rule = f"has more images than the limit of {MOST_IMAGES:,} for all files together leaves"
        raise TooLarge("a DICOM file", f"of {frames:,} frames", rule, "give one series at a time")
    if "PerFrameFunctionalGroupsSequence" not in data:
        first = _slice(path, data, None if frames == 1 else 0, ())
        return [first, *(replace(first, frame=number, number=number + 1) for number in range(1, frames))]
    shared = list(data.get("SharedFunctionalGroupsSequence") or [])
    groups = list(data.PerFrameFunctionalGroupsSequence)
    if len(groups) != frames:
        raise BadData(
            "a DICOM file", f"of {frames} frames", f"describes {len(groups)} frames", "export the series again"
        )
    if frames == 1:  # some scanners export the slices of an enhanced image this way
        return [_slice(path, data, None, (groups[0], *shared))]
    return [_slice(path, data, number, (group, *shared)) for number, group in enumerate(groups)]


def _modality(data: Dataset) -> str:
    modality = str(data.get("Modality") or "").strip()
    return modality if modality in _MODALITIES or not modality else "another"


def _kind(data: Dataset) -> str:
    """Return the name of the file's SOP class; empty if it states none."""
    meta = getattr(data, "file_meta", None)
    uid = (meta or data).get("MediaStorageSOPClassUID") or data.get("SOPClassUID")
    return "" if uid is None else uid.name


def _slice(path: Path, data: Dataset, frame: int | None, groups: tuple[Dataset, ...]) -> Slice:
    def find(sequence: str, keyword: str) -> Any:
        """Return the frame's own value if it has one, else the file's."""
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
        sequence=_sequence(data),
        acquisition=_whole(data.get("AcquisitionNumber")),
        time=tuple(str(data.get(key) or "") for key in ("EchoNumbers", "TemporalPositionIdentifier"))
        + tuple(str(item.get("TemporalPositionIndex") or "") for item in content),
    )


def _sequence(data: Dataset) -> tuple[str, ...]:
    """Return ScanningSequence; for enhanced images, which lack it, the same codes for their EchoPulseSequence."""
    codes = tuple(filter(None, (str(word).upper().strip() for word in _many(data.get("ScanningSequence")))))
    echoes = str(data.get("EchoPulseSequence") or "").upper().strip()
    return codes or {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}.get(echoes, ())


def _plain(words: str) -> str:
    """Return the words in lower case, separated by single spaces; `+` and `*` are kept.

    Underscores, hyphens, dots and changes of case all separate words.
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)
    return " ".join(re.sub(r"[^0-9a-z+*]+", " ", f"{words} {apart}".lower()).split())


def _part(kind: tuple[str, ...], component: str) -> Literal["magnitude", "phase", "real", "imaginary"]:
    """Return the part of the complex image, by the enhanced object's attribute or ImageType from its third value."""
    values = {*kind[2:], component.upper().strip()}
    if values & {"P", "PHASE", "PHASE MAP", "PHASE_MAP"}:
        return "phase"
    if values & {"R", "REAL", "R_FFE", "R_SE", "R_IR"}:
        return "real"
    return "imaginary" if values & {"I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"} else "magnitude"


def _agent_given(data: Dataset) -> bool:
    """Whether the contrast module states that an agent was given; `NONE` or a volume of 0 means none."""
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
            raise OutsideReference(
                "the DICOMDIR", "", "points out of its folder", "do not use it; give the image files alone"
            )


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    numbers = tuple(float(number) for number in _many(value))
    return numbers if len(numbers) == count else None


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _whole(value: Any) -> int | None:
    return None if value in (None, "") else int(value)
