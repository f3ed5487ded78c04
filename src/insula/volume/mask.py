"""A mask: of the lesion, or of the brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.geometry import Grid

__all__ = ["Mask"]


@dataclass(frozen=True, eq=False)
class Mask:
    """Which voxels are lesion, or brain, and where they lie.

    Args:
        voxels: (i, j, k), bool; made read-only. All False is a valid answer.
        grid: their place.

    Raises:
        BadData: the voxels are not on the grid.
    """

    voxels: NDArray[np.bool_]
    grid: Grid

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
