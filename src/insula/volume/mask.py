"""A mask: of the lesion, or of the brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.geometry import Grid, axis_map, reordered, unlike_in_order
from insula.types import Flag

__all__ = ["Mask"]


@dataclass(frozen=True, eq=False)
class Mask:
    """Which voxels are lesion, or brain, and where they lie.

    Args:
        voxels: (i, j, k), bool; made read-only. All False is a valid answer.
        grid: their place.
        flags: what is unusual about the file that it was read from.

    Raises:
        BadData: the voxels are not on the grid.
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
        """The volume of what is marked [ml]; 0 when nothing is."""
        return float(np.count_nonzero(self.voxels)) * self.grid.voxel_ml

    def onto(self, grid: Grid, *, what: str = "the mask", whose: str = "the scan's") -> Mask:
        """The same mask in the axis order of a grid with the same voxels, usually its scan's.

        Args:
            grid: where the mask has to lie.
            what: the mask, as a message names it.
            whose: the owner of the grid, as a message names it.

        Returns:
            This mask, or a copy with another order of axes and a flag that says so.

        Raises:
            BadData: the mask's voxels are others, or lie elsewhere.
        """
        axes = axis_map(self.grid, grid)
        if axes is None:
            difference, rule = unlike_in_order(self.grid, grid), f"does not lie on {whose} grid"
            raise BadData(what, f"({difference})", rule, "resample it onto that grid")
        if axes.same:
            return self
        text = f"the mask is stored in the axis order {self.grid.axcodes} and its scan in {grid.axcodes}; it was brought over"
        voxels = np.ascontiguousarray(axes.apply(self.voxels))
        return Mask(voxels, reordered(self.grid, axes), (*self.flags, Flag("mask-reordered", text)))
