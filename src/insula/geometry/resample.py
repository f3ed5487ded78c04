"""From one grid to another, in float64 millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from insula.geometry.grid import Grid

__all__ = ["resample"]

_SNAP_DECIMALS = 9  # a billionth of a voxel: header rounding must not turn a copy into an interpolation
_FWHM_TO_SIGMA = 1 / 2.3548


def resample(
    volume: NDArray[Any], source: Grid, target: Grid, *, order: int = 1, fill: float = 0.0, antialias: bool = True
) -> NDArray[np.float32]:
    """Look up `volume` at the voxel centres of `target`.

    Grids that differ by whole voxels only are copied, bit for bit. Where the target is coarser the source is blurred
    first, so that a thin structure fades in proportion instead of vanishing between samples. A target voxel whose
    centre lies outside every source voxel gets `fill`; within half a voxel of the rim the rim's value holds.

    Args:
        volume: (i, j, k) on `source`.
        source: where it is.
        target: where it is wanted.
        order: 0 nearest, 1 linear, 3 cubic.
        fill: the value outside the source.
        antialias: whether to blur before going to a coarser grid; off for labels.

    Returns:
        (i, j, k) on `target`, float32.
    """
    matrix = np.round(np.linalg.inv(source.affine) @ target.affine, _SNAP_DECIMALS)
    linear, offset = matrix[:3, :3], matrix[:3, 3]
    data = np.asarray(volume, dtype=np.float32)
    if np.array_equal(linear, np.eye(3)) and np.array_equal(offset, np.round(offset)):
        return _copy(data, offset.astype(int), target, fill)
    if antialias and order > 0:
        steps = np.linalg.norm(linear, axis=1)
        sigma = _FWHM_TO_SIGMA * np.sqrt(np.clip(steps**2 - 1, 0, None))
        if sigma.any():
            data = ndimage.gaussian_filter(data, sigma, mode="nearest")
    diagonal = np.array_equal(linear, np.diag(np.diag(linear)))
    out = ndimage.affine_transform(
        data, np.diag(linear) if diagonal else linear, offset, target.shape, np.float32, order=order, mode="nearest"
    )
    out[~_inside(matrix, source, target)] = fill
    return out


def _copy(data: NDArray[np.float32], offset: NDArray[Any], target: Grid, fill: float) -> NDArray[np.float32]:
    out = np.full(target.shape, fill, np.float32)
    start = np.maximum(0, -offset)
    stop = np.minimum(target.shape, np.array(data.shape) - offset)
    if (stop > start).all():
        inside = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        taken = tuple(slice(a + o, b + o) for a, b, o in zip(start, stop, offset, strict=True))
        out[inside] = data[taken]
    return out


def _inside(matrix: NDArray[np.float64], source: Grid, target: Grid) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(n) for n in target.shape)]
    inside = np.ones(target.shape, bool)
    for row, size in zip(matrix[:3], source.shape, strict=True):
        # parallel grids: one axis decides, and the comparison is of a line, not of a volume
        position = row[3] + sum(step * axis for step, axis in zip(row, axes, strict=False) if step)
        inside &= (position >= -0.5) & (position <= size - 0.5)
    return inside
