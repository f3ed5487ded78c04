"""The 48 ways to store a volume."""

from __future__ import annotations

import itertools

import numpy as np

from insula.geometry import AxisMap, Grid

ORDERS = [
    AxisMap(order=order, flip=flip)
    for order in itertools.permutations((0, 1, 2))
    for flip in itertools.product((False, True), repeat=3)
]


def stored_as(array: np.ndarray, grid: Grid, axes: AxisMap) -> tuple[np.ndarray, Grid]:
    """The same head in another order of axes: voxels and affine move together."""
    moved = axes.apply(array)
    affine = grid.affine.copy()
    columns = grid.affine[:3, :3][:, list(axes.order)]
    for n, reverse in enumerate(axes.flip):
        if reverse:
            affine[:3, 3] += columns[:, n] * (moved.shape[n] - 1)
            columns[:, n] *= -1
    affine[:3, :3] = columns
    return moved, Grid(moved.shape, affine)


def turned(grid: Grid, degrees: float) -> Grid:
    """The grid, oblique: turned about x and then about z."""
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    about_x = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])
    about_z = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return Grid(grid.shape, about_z @ about_x @ grid.affine)
