"""RAS+ and back: laws for all 48 orders, straight and oblique."""

from __future__ import annotations

import numpy as np
import pytest

from geometry.orders import ORDERS, stored_as, turned
from insula.geometry import AxisMap, Grid, ras_grid, ras_map

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
