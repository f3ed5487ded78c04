"""Compare images by their pixels and geometry, whatever their encoding and their other header fields."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from insula.io.dicom.file import parse
from insula.io.dicom.slices import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["contents", "same_contents"]

_GEOMETRY = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
)
_FUNCTIONAL = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)


def contents(source: Path | bytes) -> str:
    """Returns the SHA-256 of an image's pixels and geometry, or of the whole file if they cannot be read.

    Args:
        source: a DICOM file, or its content.
    """
    raw = source.read_bytes() if isinstance(source, Path) else source
    digest = hashlib.sha256()
    with quiet():
        try:
            data = parse(raw)
            pixels = data.pixel_array
            digest.update(repr((pixels.shape, pixels.dtype.kind, _geometry(data))).encode())
            digest.update(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())
        except Exception:  # on a damaged file pydicom and the decoders may raise anything
            return hashlib.sha256(raw).hexdigest()
    return digest.hexdigest()


def same_contents(path: Path, data: bytes) -> bool:
    """Returns whether a file holds the same image as the received data."""
    return path.read_bytes() == data or contents(path) == contents(data)


def _geometry(data: Dataset) -> list[str]:
    values = [str(data.get(name)) for name in _GEOMETRY]
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in data.get(groups) or ():
            values += [str(group.get(name)) for name in _FUNCTIONAL]
    return values
