"""A T1-weighted scan and facts about its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.geometry import Grid
from insula.types import Flag

__all__ = ["FileFacts", "Scan", "Spaces"]


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """The sform, qform and units of a NIfTI header as stored; programs differ in which form they use."""

    sform_code: int
    """0 if there is no sform."""
    qform_code: int
    """0 if there is no qform."""
    sform: tuple[tuple[float, ...], ...]
    """The three rows of the matrix."""
    pixdim: tuple[float, float, float, float]
    """Handedness of the qform, then the voxel steps."""
    quaternion: tuple[float, float, float]
    """Components b, c and d of the qform's quaternion."""
    offset: tuple[float, float, float]
    """Position of the first voxel in the qform."""
    units: int
    """NIfTI code of the length unit."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """Facts about the file a scan was read from: enough to detect a change, without personal data."""

    sha256: str
    """Hash of the file's bytes on disk (header and image file together for a pair)."""
    bytes: int
    """Size of the file that holds the voxels."""
    modified_ns: int
    """The modification time when the file was read [ns]."""
    spaces: Spaces | None = None
    """Copied unchanged into the results, so that masks overlay the scan in every viewer; None if the file has no
    orientation, or none that can be kept."""
    frame: int | None = None
    """The volume that was read of a 4-D file, from 0; None if the file holds one."""
    series: int | None = None
    """The SeriesNumber by which a DICOM series was chosen; None if it was chosen by rule."""


@dataclass(frozen=True, eq=False)
class Scan:
    """A 3-D image on its grid.

    Args:
        image: (i, j, k), float32, finite, any intensity scale; made read-only.
        grid: grid of the image.
        name: name used for results; never a path.
        flags: issues noticed when the image was read.
        file: facts about the source file, if any.

    Raises:
        BadData: the image is not 3-D, does not have the grid's shape, or is not finite.
    """

    image: NDArray[np.float32]
    grid: Grid
    name: str = "scan"
    flags: tuple[Flag, ...] = ()
    file: FileFacts | None = None

    def __post_init__(self) -> None:
        image = np.asarray(self.image, dtype=np.float32).view()
        if image.shape != self.grid.shape:
            raise BadData(
                "the image",
                f"of shape {image.shape}",
                f"is not on its grid of shape {self.grid.shape}",
                "give both the same shape",
            )
        if not np.isfinite(image).all():
            bad = int(image.size - np.isfinite(image).sum())
            raise BadData(
                "the image",
                f"with {bad} NaN or infinite voxels",
                "is not finite",
                "fill them first, or use insula.read_scan",
            )
        image.setflags(write=False)
        object.__setattr__(self, "image", image)

    @cached_property
    def image_sha256(self) -> str:
        """SHA-256 of the voxels in C order; computed once."""
        return hashlib.sha256(np.ascontiguousarray(self.image).data).hexdigest()
