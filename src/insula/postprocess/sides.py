"""Lesion volume of each hemisphere, and the side it lies on."""

from __future__ import annotations

from typing import Literal

import numpy as np

from insula.volume import Mask

__all__ = ["Side", "side_of", "side_volumes_ml"]

Side = Literal["left", "right", "both", "none"]
_ONE_SIDE = 0.9


def side_volumes_ml(lesion: Mask, brain: Mask) -> tuple[float, float] | None:
    """Return the lesion volume on the left and on the right [ml].

    The sides are divided by a plane through the brain's centre of mass, across the voxel axis that runs from left to
    right. In a turned head, volume near the midline can be counted on the wrong side.

    Args:
        lesion: the lesion mask.
        brain: the brain mask, on the same grid.

    Returns:
        Left and right; None if the brain mask is empty.
    """
    axis = next(n for n, code in enumerate(lesion.grid.axcodes) if code in "LR")
    others = tuple(n for n in range(3) if n != axis)
    counts = brain.voxels.sum(others)
    if not counts.any():
        return None
    places = np.arange(len(counts))
    middle = float((counts * places).sum() / counts.sum())
    voxels = lesion.voxels.sum(others)
    # a slice at the middle is divided between the sides
    lower_share = np.clip(middle + 0.5 - places, 0, 1)
    lower, upper = float((voxels * lower_share).sum()), float((voxels * (1 - lower_share)).sum())
    millilitres = lesion.grid.voxel_ml
    left, right = (lower, upper) if lesion.grid.axcodes[axis] == "R" else (upper, lower)
    return left * millilitres, right * millilitres


def side_of(left: float, right: float) -> Side:
    """Return the side with at least nine tenths of a lesion; `none` without one.

    Args:
        left: its volume, or number of voxels, on the left.
        right: the same on the right.
    """
    total = left + right
    if not total:
        return "none"
    if max(left, right) / total < _ONE_SIDE:
        return "both"
    return "left" if left > right else "right"
