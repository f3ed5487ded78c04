"""What makes two images the same: their pixels and where these lie, however they are packed and whatever else is said of them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from insula.io.dicom.slices import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["contents", "same_contents"]

_PLACE = (
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
    """The SHA-256 of an image's pixels and their place; of the whole file where they cannot be read.

    Args:
        source: a DICOM file, or what would be in it.
    """
    from pydicom import dcmread

    raw = source.read_bytes() if isinstance(source, Path) else source
    digest = hashlib.sha256()
    with quiet():
        try:
            data = dcmread(io.BytesIO(raw))
            pixels = data.pixel_array
            digest.update(repr((pixels.shape, pixels.dtype.kind, _place(data))).encode())
            digest.update(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())
        except Exception:  # of a damaged file pydicom and the decoders raise whatever they trip over
            return hashlib.sha256(raw).hexdigest()
    return digest.hexdigest()


def same_contents(path: Path, data: bytes) -> bool:
    """Whether a file holds the same image as what has come."""
    return path.read_bytes() == data or contents(path) == contents(data)


def _place(data: Dataset) -> list[str]:
    found = [str(data.get(name)) for name in _PLACE]
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in data.get(groups) or ():
            found += [str(group.get(name)) for name in _FUNCTIONAL]
    return found
