"""To RAS+ axis order and back, without interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insula.geometry.grid import Grid

__all__ = ["AxisMap", "axis_map", "ras_grid", "ras_map", "reordered", "unlike_in_order"]


@dataclass(frozen=True)
class AxisMap:
    """A permutation of the axes, then flips: exact, so `invert(apply(a))` is `a` to the last bit.

    Args:
        order: `order[n]` is the source axis that becomes axis n.
        flip: whether axis n, after the permutation, is reversed.
    """

    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of `array` (3-D) in the new order."""
        return array.transpose(self.order)[self._reverse]

    def invert(self, array: NDArray[Any]) -> NDArray[Any]:
        """The view that `apply` would turn into `array`."""
        return array[self._reverse].transpose(np.argsort(self.order))

    @property
    def same(self) -> bool:
        """Whether nothing is permuted or reversed."""
        return self.order == (0, 1, 2) and not any(self.flip)

    @property
    def _reverse(self) -> tuple[slice, slice, slice]:
        a, b, c = (slice(None, None, -1) if reverse else slice(None) for reverse in self.flip)
        return a, b, c


def ras_map(grid: Grid) -> AxisMap:
    """The axis map that brings a volume on `grid` nearest to RAS+.

    Oblique grids keep their tilt: only axes are permuted and reversed, nothing is interpolated.

    Args:
        grid: any grid, left- or right-handed.

    Returns:
        The map; the identity when the grid is RAS+ already.
    """
    from nibabel.orientations import io_orientation

    orientation = io_orientation(grid.affine)
    order = np.argsort(orientation[:, 0])
    a, b, c = (int(axis) for axis in order)
    u, v, w = (bool(orientation[axis, 1] < 0) for axis in order)
    return AxisMap(order=(a, b, c), flip=(u, v, w))


def ras_grid(grid: Grid) -> Grid:
    """The grid of `ras_map(grid).apply(volume)`: the same voxels in the same places, in RAS+ order."""
    return reordered(grid, ras_map(grid))


def axis_map(source: Grid, target: Grid) -> AxisMap | None:
    """The axis map that brings a volume on `source` to `target`, where both have the same voxels in the same places.

    The places may be a fiftieth of a voxel apart, as for `Grid.close_to`.

    Args:
        source: any grid.
        target: another one, most often in another axis order.

    Returns:
        The map; the identity where the order is the same; None where the voxels are others.
    """
    axes = _nearest_map(source, target)
    return axes if axes is not None and reordered(source, axes).close_to(target) else None


def unlike_in_order(source: Grid, target: Grid) -> str:
    """What differs beside the order of axes: `Grid.unlike`, once those of `source` are in the order of `target`."""
    axes = _nearest_map(source, target)
    return (source if axes is None else reordered(source, axes)).unlike(target)


def _nearest_map(source: Grid, target: Grid) -> AxisMap | None:
    """Each axis of `target` from the axis of `source` that runs along it most; None where two would be one."""
    steps = np.linalg.solve(target.affine[:3, :3], source.affine[:3, :3])  # one column: one step along a source axis
    steps = steps * np.array(target.spacing_mm)[:, None] / np.array(source.spacing_mm)
    a, b, c = (int(axis) for axis in np.abs(steps).argmax(axis=1))
    if {a, b, c} != {0, 1, 2}:
        return None
    u, v, w = (bool(steps[n, axis] < 0) for n, axis in enumerate((a, b, c)))
    return AxisMap(order=(a, b, c), flip=(u, v, w))


def reordered(grid: Grid, axes: AxisMap) -> Grid:
    """The grid of `axes.apply(volume)`, for a volume on `grid`: the same voxels in the same places."""
    affine = grid.affine.copy()
    columns = affine[:3, :3][:, list(axes.order)]
    origin = affine[:3, 3].copy()
    for n, reverse in enumerate(axes.flip):
        if reverse:
            origin += columns[:, n] * (grid.shape[axes.order[n]] - 1)
            columns[:, n] *= -1
    affine[:3, :3], affine[:3, 3] = columns, origin
    i, j, k = (grid.shape[axis] for axis in axes.order)
    return Grid((i, j, k), affine)
