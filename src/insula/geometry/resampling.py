"""Resamples volumes from one grid to another, in float64 millimetres."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from insula.geometry.grid import Grid

__all__ = ["resample"]

_SNAP_DECIMALS = 9  # a billionth of a voxel: header rounding must not turn a copy into an interpolation
_FWHM_TO_SIGMA = 1 / 2.3548
_REACH_SIGMAS = 4.0  # radius at which the blur kernel is truncated
_NEIGHBOURS = 2  # voxels around a position that interpolation may read


def resample(
    volume: NDArray[np.generic],
    source: Grid,
    target: Grid,
    *,
    order: int = 1,
    fill: float = 0.0,
    antialias: bool = True,
) -> NDArray[np.float32]:
    """Interpolate `volume` at the voxel centres of `target`.

    If the grids differ only by whole voxels, values are copied bit for bit. If the target is coarser, the source is
    blurred first, so that a thin structure fades in proportion instead of vanishing between samples. A target voxel
    whose centre lies outside every source voxel gets `fill`; within half a voxel of the border the border value holds.

    Args:
        volume: (i, j, k) on `source`.
        source: grid of the volume.
        target: grid of the result.
        order: 0 nearest, 1 linear, 3 cubic.
        fill: value outside the source.
        antialias: whether to blur before resampling to a coarser grid; turn off for labels.

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
            data = _blurred(data, sigma, _source_box(matrix, source, target) if order == 1 else None)
    if np.array_equal(linear, np.diag(np.diag(linear))):
        return _look_up_parallel(data, np.diag(linear), offset, target, order, fill)
    out = ndimage.affine_transform(data, linear, offset, target.shape, np.float32, order=order, mode="nearest")
    out[~_inside(matrix, source, target)] = fill
    return out


def _copy(data: NDArray[np.float32], offset: NDArray[np.int_], target: Grid, fill: float) -> NDArray[np.float32]:
    out = np.full(target.shape, fill, np.float32)
    start = np.maximum(0, -offset)
    stop = np.minimum(target.shape, np.array(data.shape) - offset)
    if (stop > start).all():
        inside = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        taken = tuple(slice(a + o, b + o) for a, b, o in zip(start, stop, offset, strict=True))
        out[inside] = data[taken]
    return out


def _source_box(matrix: NDArray[np.float64], source: Grid, target: Grid) -> tuple[slice, ...]:
    """Return the part of the source that interpolation at the target's voxels reads."""
    corners = np.array([*product(*[(0, n - 1) for n in target.shape])])
    places = np.clip(corners @ matrix[:3, :3].T + matrix[:3, 3], 0, np.array(source.shape) - 1)
    first = np.maximum(np.floor(places.min(0)).astype(int) - _NEIGHBOURS, 0)
    last = np.minimum(np.ceil(places.max(0)).astype(int) + _NEIGHBOURS, np.array(source.shape) - 1)
    return tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))


def _blurred(
    data: NDArray[np.float32], sigma: NDArray[np.float64], where: tuple[slice, ...] | None
) -> NDArray[np.float32]:
    """Blur a volume, within `where` only and 0 elsewhere, which is fast for a box in a large scan."""
    if where is None:
        return ndimage.gaussian_filter(data, sigma, mode="nearest", truncate=_REACH_SIGMAS)
    reach = np.ceil(_REACH_SIGMAS * sigma).astype(int)
    wide = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(where, reach, strict=True))
    within = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(where, wide, strict=True))
    out = np.zeros(data.shape, np.float32)  # pages that are never touched use no memory
    out[where] = ndimage.gaussian_filter(data[wide], sigma, mode="nearest", truncate=_REACH_SIGMAS)[within]
    return out


def _look_up_parallel(
    data: NDArray[np.float32],
    steps: NDArray[np.float64],
    offset: NDArray[np.float64],
    target: Grid,
    order: int,
    fill: float,
) -> NDArray[np.float32]:
    """Resample between grids with parallel axes: only the box inside the source is computed."""
    out = np.full(target.shape, fill, np.float32)
    first, last = np.zeros(3, int), np.zeros(3, int)
    begin = np.zeros(3, int)
    for n, (step, start, count, size) in enumerate(zip(steps, offset, target.shape, data.shape, strict=True)):
        position = start + step * np.arange(count)
        inside = np.flatnonzero((position >= -0.5) & (position <= size - 0.5))
        if not len(inside):
            return out
        first[n], last[n] = inside[0], inside[-1]
        begin[n] = first[n] if _same_places(step, start, int(first[n]), int(last[n]) + 1) else 0
    part = tuple(slice(a, b + 1) for a, b in zip(begin, last, strict=True))
    ndimage.affine_transform(data, steps, offset + steps * begin, output=out[part], order=order, mode="nearest")
    for n in range(3):
        out[(slice(None),) * n + (slice(begin[n], first[n]),)] = fill
    return out


def _same_places(step: float, start: float, first: int, stop: int) -> bool:
    """Whether positions counted from voxel `first` equal those counted from 0, with scipy's rounding errors."""
    places = step * (np.arange(first, stop) + start / step)
    return np.array_equal(step * (np.arange(stop - first) + (start + step * first) / step), places)


def _inside(matrix: NDArray[np.float64], source: Grid, target: Grid) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(n) for n in target.shape)]
    inside = np.ones(target.shape, bool)
    for row, size in zip(matrix[:3], source.shape, strict=True):
        # for parallel grids a single axis decides, so a line is compared instead of a volume
        position = row[3] + sum(step * axis for step, axis in zip(row, axes, strict=False) if step)
        inside &= (position >= -0.5) & (position <= size - 0.5)
    return inside
