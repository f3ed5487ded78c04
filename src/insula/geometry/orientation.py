"""Converts volumes to RAS+ axis order and back, without interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.geometry.grid import Grid

__all__ = ["AxisMap", "axes_onto", "axis_map", "ras_grid", "ras_map", "reordered", "unlike_in_order"]

_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True)
class AxisMap:
    """A permutation of the axes followed by flips; it is exact, so `invert(apply(a))` equals `a` bit for bit.

    Args:
        order: `order[n]` is the source axis that becomes axis n.
        flip: whether axis n, after the permutation, is reversed.
    """

    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]

    def apply(self, array: NDArray[_Value]) -> NDArray[_Value]:
        """Return a view of `array` (3-D) in the new axis order."""
        return array.transpose(self.order)[self._reverse]

    def invert(self, array: NDArray[_Value]) -> NDArray[_Value]:
        """Return the view that `apply` would turn into `array`."""
        return array[self._reverse].transpose(np.argsort(self.order))

    @property
    def same(self) -> bool:
        """Whether the map is the identity."""
        return self.order == (0, 1, 2) and not any(self.flip)

    @property
    def _reverse(self) -> tuple[slice, slice, slice]:
        a, b, c = (slice(None, None, -1) if reverse else slice(None) for reverse in self.flip)
        return a, b, c


def ras_map(grid: Grid) -> AxisMap:
    """Return the axis map that brings a volume on `grid` closest to RAS+.

    Oblique grids keep their tilt: axes are only permuted and reversed, without interpolation.

    Args:
        grid: any grid, left- or right-handed.

    Returns:
        The map; the identity if the grid is already RAS+.
    """
    from nibabel.orientations import io_orientation

    orientation = io_orientation(grid.affine)
    order = np.argsort(orientation[:, 0])
    a, b, c = (int(axis) for axis in order)
    u, v, w = (bool(orientation[axis, 1] < 0) for axis in order)
    return AxisMap(order=(a, b, c), flip=(u, v, w))


def ras_grid(grid: Grid) -> Grid:
    """Return the grid of `ras_map(grid).apply(volume)`: the same voxel positions in RAS+ order."""
    return reordered(grid, ras_map(grid))


def axis_map(source: Grid, target: Grid) -> AxisMap | None:
    """Return the axis map from `source` to `target`, if both have the same voxel positions.

    Positions may differ by a fiftieth of a voxel, as in `Grid.close_to`.

    Args:
        source: any grid.
        target: another grid, usually in a different axis order.

    Returns:
        The map; the identity if the axis order is the same; None if the voxel positions differ.
    """
    axes = _nearest_map(source, target)
    return axes if axes is not None and reordered(source, axes).close_to(target) else None


def unlike_in_order(source: Grid, target: Grid) -> str:
    """Describe differences other than axis order: `Grid.unlike`, with `source` in the axis order of `target`."""
    axes = _nearest_map(source, target)
    return (source if axes is None else reordered(source, axes)).unlike(target)


def _nearest_map(source: Grid, target: Grid) -> AxisMap | None:
    """Map to each axis of `target` the most parallel axis of `source`; None if two would map to the same axis."""
    steps = np.linalg.solve(target.affine[:3, :3], source.affine[:3, :3])  # each column: one step along a source axis
    steps = steps * np.array(target.spacing_mm)[:, None] / np.array(source.spacing_mm)
    a, b, c = (int(axis) for axis in np.abs(steps).argmax(axis=1))
    if {a, b, c} != {0, 1, 2}:
        return None
    u, v, w = (bool(steps[n, axis] < 0) for n, axis in enumerate((a, b, c)))
    return AxisMap(order=(a, b, c), flip=(u, v, w))


def reordered(grid: Grid, axes: AxisMap) -> Grid:
    """Return the grid of `axes.apply(volume)` for a volume on `grid`: the same voxel positions."""
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


def axes_onto(source: Grid, target: Grid, *, what: str, whose: str) -> AxisMap:
    """Return the axis map between two grids with the same voxel positions.

    Args:
        source: the grid of a mask or a map.
        target: the grid on which it has to lie.
        what: what lies on `source`, as error messages name it.
        whose: owner of `target` in error messages, e.g. `the scan's`.

    Raises:
        BadData: the voxel positions differ.
    """
    axes = axis_map(source, target)
    if axes is None:
        rule = f"does not lie on {whose} grid"
        raise BadData(what, f"({unlike_in_order(source, target)})", rule, "write it on that grid")
    return axes
