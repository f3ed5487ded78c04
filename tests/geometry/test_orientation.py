"""RAS+ and back: laws for all 48 orders, straight and oblique."""

from __future__ import annotations

import numpy as np
import pytest

from geometry.orders import ORDERS, stored_as, turned
from insula.errors import BadData
from insula.geometry import AxisMap, Grid, axes_onto, axis_map, ras_grid, ras_map, reordered, unlike_in_order

_GRID = Grid((4, 5, 6), np.array([[1.0, 0, 0, -7], [0, 2.0, 0, 3], [0, 0, 3.0, 5], [0, 0, 0, 1]]))


def test_there_are_48() -> None:
    assert len(set(ORDERS)) == 48


@pytest.mark.parametrize("degrees", [0.0, 17.0])
@pytest.mark.parametrize("axes", ORDERS, ids=str)
def test_every_order_comes_home(axes: AxisMap, degrees: float) -> None:
    straight = turned(_GRID, degrees)
    volume = np.arange(120).reshape(4, 5, 6)
    stored, grid = stored_as(volume, straight, axes)
    back = ras_map(grid)
    assert np.array_equal(back.apply(stored), volume)
    assert np.array_equal(back.invert(back.apply(stored)), stored)
    assert ras_grid(grid).close_to(straight, tolerance_mm=1e-9)
    assert ras_grid(grid).axcodes == "RAS"


def test_a_voxel_keeps_its_place_in_the_patient() -> None:
    rng = np.random.default_rng(0)
    for axes in ORDERS:
        stored, grid = stored_as(np.arange(120).reshape(4, 5, 6), turned(_GRID, 17), axes)
        index = rng.integers(0, stored.shape)
        value = stored[tuple(index)]
        there = np.argwhere(ras_map(grid).apply(stored) == value)[0]
        assert np.allclose(grid.centre_mm(index), ras_grid(grid).centre_mm(there), atol=1e-9)


@pytest.mark.parametrize("axes", ORDERS, ids=str)
def test_every_storage_order_of_the_same_voxels_is_brought_over(axes: AxisMap) -> None:
    target = turned(_GRID, 17.0)
    values = np.arange(120).reshape(4, 5, 6)
    source, stored = reordered(target, axes), axes.apply(values)
    there = axis_map(source, target)
    assert there is not None
    assert there.same == axes.same
    assert np.array_equal(there.apply(stored), values)


def test_other_voxels_are_never_brought_over_and_the_quantity_is_named() -> None:
    target = Grid((10, 10, 12), np.diag([1.0, 1.0, 2.0, 1.0]))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    shift = np.eye(4)
    shift[1, 3] = 3
    flipped = reordered(target, AxisMap(order=(2, 0, 1), flip=(True, False, True)))
    for grid, difference in (
        (
            Grid(target.shape, target.affine @ np.diag([1.1, 1, 1, 1])),
            "the size of a voxel, 1.1 x 1 x 2 against 1 x 1 x 2 mm: ",
        ),
        (Grid(target.shape, turn @ target.affine), "the direction of an axis, by 5.73 degrees: "),
        (Grid(target.shape, shift @ target.affine), "the origin, by 3 mm: the same voxel lies up to 3 mm apart"),
        (Grid(flipped.shape, shift @ flipped.affine), "the origin, by 3 mm: "),
        (Grid((10, 10, 11), target.affine), "10 x 10 x 11 voxels against 10 x 10 x 12"),
    ):
        assert axis_map(grid, target) is None
        assert unlike_in_order(grid, target).startswith(difference)


def test_a_grid_is_carried_onto_another_or_refused_with_the_difference() -> None:
    axes = AxisMap(order=(1, 2, 0), flip=(False, True, True))
    target = turned(_GRID, 17.0)
    values = np.arange(120).reshape(4, 5, 6)
    back = axes_onto(reordered(target, axes), target, what="the mask", whose="the scan's")
    assert np.array_equal(back.apply(axes.apply(values)), values)
    other = Grid(target.shape, target.affine @ np.diag([1.0, 1.0, 1.5, 1.0]))
    with pytest.raises(BadData, match=r"the mask \(the size of a voxel, .*does not lie on the scan's grid; write it"):
        axes_onto(other, target, what="the mask", whose="the scan's")


def test_a_grid_so_sheared_that_two_axes_are_nearest_to_one_is_never_brought_over() -> None:
    sheared = np.eye(4)
    sheared[:3, :3] = [[1.0, 0.2, 0.0], [1.0, 0.5, 0.0], [0.0, 0.85, 1.0]]
    source, target = Grid((4, 4, 4), sheared), Grid((4, 4, 4), np.eye(4))
    assert axis_map(source, target) is None
    assert unlike_in_order(source, target).startswith("the size of a voxel, 1.41421 x 1.00623 x 1 against 1 x 1 x 1 mm")
