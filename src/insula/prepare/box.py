"""Preparation of one scan for the network, and the way back to the scan's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from insula.config import PrepareConfig
from insula.errors import BadData
from insula.geometry import Grid, laid_out, ras_grid, ras_map, resample
from insula.prepare.head import Head, find_head
from insula.prepare.intensity import measure, normalise
from insula.types import Flag
from insula.volume import Mask, Scan

__all__ = ["Prepared", "prepare"]

_LEAST_VOXELS = 12
_LARGEST_STEP_MM = 10.0
_THICK_MM = 3.0
_SAME_MM = 1e-3


@dataclass(frozen=True, eq=False)
class Prepared:
    """One scan as the network sees it."""

    image: Float[Tensor, "1 1 i j k"]
    """RAS+, isotropic, normalised, cropped to the box; float32 on the CPU."""
    grid: Grid
    """Grid of the box, in the patient's coordinates."""
    home: Grid
    """Grid of the scan as it was read."""
    flags: tuple[Flag, ...]
    """Findings that a reader of the result has to know."""

    def take_in(self, mask: Mask) -> Bool[np.ndarray, "i j k"]:
        """Return a mask of the scan in the box, where at least half of a voxel is inside it.

        Args:
            mask: on the scan's own grid.
        """
        return resample(ras_map(mask.grid).apply(mask.voxels), ras_grid(mask.grid), self.grid) > 0.5

    def bring_home(self, prob: Float[np.ndarray, "i j k"]) -> NDArray[np.float32]:
        """Return a probability map of the box on the scan's own grid; float32, 0 outside the box."""
        prob_ras = resample(prob, self.grid, ras_grid(self.home))
        np.clip(prob_ras, 0, 1, out=prob_ras)
        prob_home = ras_map(self.home).invert(prob_ras)
        return prob_home if prob_home.flags.c_contiguous else laid_out(prob_home, "C")


def prepare(scan: Scan, config: PrepareConfig) -> Prepared:
    """Prepare a scan: reorder it to RAS+, measure intensities, find the head, resample the box around it.

    The same head stored in any of the 48 axis orders gives the same tensor, bit for bit.

    Args:
        scan: any orientation and spacing.
        config: spacing, box and intensity scale; stored with the weights.

    Raises:
        BadData: the volume has too few voxels, its voxel steps are too long, or no head is found.
    """
    axes, grid = ras_map(scan.grid), ras_grid(scan.grid)
    image = laid_out(axes.apply(scan.image), "C")
    _check_plausible(grid)
    head = find_head(image, grid.spacing_mm)
    box = _box(grid, head, config)
    scale = measure(torch.from_numpy(image), config)
    data = resample(image, grid, box, fill=scale.background)
    flags = list(head.flags)
    if max(grid.spacing_mm) > _THICK_MM + _SAME_MM:
        flags.append(
            Flag(
                "thick-slices",
                f"Slices are {max(grid.spacing_mm):.1f} mm apart; lesions thinner than that may be missed.",
            )
        )
    tensor = normalise(torch.from_numpy(data), scale, config)[None, None]
    return Prepared(image=tensor, grid=box, home=scan.grid, flags=tuple(flags))


def _check_plausible(grid: Grid) -> None:
    size = "x".join(map(str, grid.shape))
    if min(grid.shape) < _LEAST_VOXELS:
        raise BadData(
            "the image",
            f"of {size} voxels",
            f"has fewer than {_LEAST_VOXELS} along an axis",
            "give a scan of a whole head",
        )
    if max(grid.spacing_mm) > _LARGEST_STEP_MM:
        step = max(grid.spacing_mm)
        raise BadData(
            "the voxel step",
            f"of {step:.3g} mm",
            f"is over {_LARGEST_STEP_MM:g} mm",
            "check the header's units, or rescan",
        )


def _box(grid: Grid, head: Head, config: PrepareConfig) -> Grid:
    """Return the box's grid at the network's spacing, aligned to the scan's first voxel: 1 mm scans are copied."""
    ratio = np.array(
        [1.0 if abs(mm - config.spacing_mm) < _SAME_MM else config.spacing_mm / mm for mm in grid.spacing_mm]
    )
    size = np.array(config.box)
    corner = np.round(np.array(head.centre) / ratio - (size - 1) / 2)
    affine = grid.affine @ np.diag([*ratio, 1.0])
    affine[:3, 3] = (grid.affine @ [*(corner * ratio), 1.0])[:3]
    return Grid(config.box, affine)
