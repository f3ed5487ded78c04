"""Location of the head in a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from insula.errors import BadData
from insula.types import Flag

__all__ = ["Head", "find_head"]

_STEP_MM = 4.0
_REACH_MM = 130.0  # from the crown down: brain and brainstem, little of face and neck
_LEAST_LITRES = 0.4


@dataclass(frozen=True, eq=False)
class Head:
    """The head in an RAS+ volume: its centre, its mask on a coarse grid, and flags."""

    centre: tuple[float, float, float]
    """Centre of mass of the part that holds the brain [voxels]."""
    flags: tuple[Flag, ...]
    """Flags for a cut field of view and for inverted contrast."""
    inside: NDArray[np.bool_]
    """Mask of the head on the coarse grid (`every`), holes filled."""
    every: tuple[slice, slice, slice]
    """Slices that select the coarse grid: about one voxel every 4 mm."""


def find_head(image: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Head:
    """Find the largest bright object, and the centre of mass of its upper 130 mm.

    This works with or without a skull, if the neck is in view, and if a brain fills the field of view to the rim. On
    simulated heads the centre lies within a few millimetres of the brain's own, where training puts it.

    Args:
        image: (i, j, k), RAS+ order.
        spacing_mm: voxel spacing along each axis.

    Raises:
        BadData: no object is as large as a brain.
    """
    steps = [max(1, round(_STEP_MM / mm)) for mm in spacing_mm]
    i, j, k = (slice(n // 2 if size > n else 0, None, n) for n, size in zip(steps, image.shape, strict=True))
    every = (i, j, k)
    coarse = np.asarray(image[every])
    step_mm = np.array(steps) * spacing_mm
    flags = _inverted(coarse)
    if flags:
        coarse = coarse.max() - coarse
    low, high = np.percentile(coarse, [1, 99])
    bright = ndimage.binary_opening(np.pad(coarse > low + 0.15 * (high - low), 1, mode="edge"))[1:-1, 1:-1, 1:-1]
    parts, count = ndimage.label(bright)
    if count == 0:
        raise BadData(
            "the image",
            f"with intensities from {low:g} to {high:g}",
            "shows no head",
            "check that it is a T1w scan of a head",
        )
    head = ndimage.binary_fill_holes(parts == 1 + int(np.bincount(parts.ravel())[1:].argmax()))
    litres = float(head.sum() * step_mm.prod() / 1e6)
    if litres < _LEAST_LITRES:
        rule = f"is smaller than a brain ({_LEAST_LITRES} l)"
        raise BadData(
            "the largest object", f"of {litres:.2f} l", rule, "check the voxel size and that it is a scan of a head"
        )
    areas = head.sum((0, 1))
    top = int(np.flatnonzero(areas > 0.02 * areas.max())[-1])
    floor = max(0, top - round(_REACH_MM / step_mm[2]))
    places = np.argwhere(head[:, :, floor : top + 1]).mean(0) + np.array([0, 0, floor])
    x, y, z = (float(c * s.step + s.start) for c, s in zip(places, every, strict=True))
    return Head(centre=(x, y, z), flags=(*flags, *_cut(head, floor)), inside=head, every=every)


def _inverted(coarse: NDArray[np.float32]) -> tuple[Flag, ...]:
    """Flag inverted intensities: the rim of the volume (air) is brighter than its middle."""
    rim = np.concatenate([coarse[[0, -1]].ravel(), coarse[:, [0, -1]].ravel()])
    middle = coarse[tuple(slice(n // 3, n - n // 3) for n in coarse.shape)]
    if np.median(rim) > np.percentile(middle, 75) and np.median(rim) > coarse.mean():
        return (
            Flag(
                "contrast-inverted",
                "Air is brighter than tissue: the intensities look inverted, and the mask cannot be trusted.",
            ),
        )
    return ()


def _cut(head: NDArray[np.bool_], floor: int) -> tuple[Flag, ...]:
    upper = head[:, :, floor:]
    sides = {
        "left": upper[0],
        "right": upper[-1],
        "back": upper[:, 0],
        "front": upper[:, -1],
        "top": upper[:, :, -1],
    }
    middle = {"left": 0, "right": 0, "back": 1, "front": 1, "top": 2}
    cut = []
    for side, face in sides.items():
        whole = upper.any(axis=middle[side]).sum()
        if face.sum() > 0.25 * whole:
            cut.append(side)
    if not cut:
        return ()
    return (
        Flag(
            "field-of-view-cut",
            f"The field of view cuts the head at the {', '.join(cut)}; lesions beyond it cannot be seen.",
        ),
    )
