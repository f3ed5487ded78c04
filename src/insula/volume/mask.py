"""A binary mask of the lesion or of the brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.geometry import Grid, axes_onto, reordered
from insula.types import Flag

__all__ = ["Mask"]


@dataclass(frozen=True, eq=False)
class Mask:
    """A binary mask of lesion or brain voxels on a grid.

    Args:
        voxels: (i, j, k), bool; made read-only. All False is valid.
        grid: grid of the voxels.
        flags: unusual properties of the file that the mask was read from.

    Raises:
        BadData: the voxels are not boolean, or their shape differs from the grid's.
    """

    voxels: NDArray[np.bool_]
    grid: Grid
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels)
        if voxels.dtype != np.bool_:
            raise BadData(
                "the mask", f"of type {voxels.dtype}", "is not boolean", "threshold it first, e.g. prob > 0.5"
            )
        if voxels.shape != self.grid.shape:
            raise BadData(
                "the mask",
                f"of shape {voxels.shape}",
                f"is not on its grid of shape {self.grid.shape}",
                "give both the same shape",
            )
        voxels = voxels.view()
        voxels.setflags(write=False)
        object.__setattr__(self, "voxels", voxels)

    @property
    def volume_ml(self) -> float:
        """The volume of the marked voxels [ml]; 0 for an empty mask."""
        return float(np.count_nonzero(self.voxels)) * self.grid.voxel_ml

    def onto(self, grid: Grid, *, what: str = "the mask", whose: str = "the scan's") -> Mask:
        """Return the mask in the axis order of a grid with the same voxel positions, usually its scan's grid.

        Args:
            grid: the required grid.
            what: name of the mask in error messages.
            whose: owner of the grid in error messages.

        Returns:
            This mask, or a copy in the other axis order with a flag that reports the change.

        Raises:
            BadData: the mask's voxel positions differ from those of the grid.
        """
        axes = axes_onto(self.grid, grid, what=what, whose=whose)
        if axes.same:
            return self
        text = f"the mask is stored in axis order {self.grid.axcodes} and its scan in {grid.axcodes}; it was reordered"
        voxels = np.ascontiguousarray(axes.apply(self.voxels))
        return Mask(voxels, reordered(self.grid, axes), (*self.flags, Flag("mask-reordered", text)))
