"""A T1-weighted scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.geometry import Grid
from insula.types import Flag

__all__ = ["FileFacts", "Scan", "Spaces"]


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """Where a NIfTI file says that its voxels lie, as it says it: readers differ in which form they believe."""

    sform_code: int
    """0 where there is none."""
    qform_code: int
    """0 where there is none."""
    sform: tuple[tuple[float, ...], ...]
    """Three rows."""
    pixdim: tuple[float, float, float, float]
    """Handedness of the qform, then the steps."""
    quaternion: tuple[float, float, float]
    """The qform's b, c and d."""
    offset: tuple[float, float, float]
    """Where the qform puts the first voxel."""
    units: int
    """NIfTI's code of the unit of lengths."""


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What is remembered of the file a scan came from: enough to notice a change, nothing personal."""

    sha256: str
    """Of the file's bytes as they lay on disk (header and image file together for a pair)."""
    bytes: int
    """Size of the file that holds the voxels."""
    modified_ns: int
    """Its modification time when it was read."""
    spaces: Spaces | None = None
    """Written back into the results as they are, so that masks lie on the scan in every viewer; None where the file does not say
    it, or not in a way that can be kept."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One 3-D image and where it lies.

    Args:
        image: (i, j, k), float32, finite, any intensity scale; made read-only.
        grid: its place.
        name: how results are called; never a path.
        flags: what reading it brought to light.
        file: the file it came from, if any.

    Raises:
        BadData: the image is not 3-D, or not on the grid, or not finite.
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
