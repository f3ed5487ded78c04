"""Grid: what it knows of itself."""

from __future__ import annotations

import numpy as np
import pytest

from insula.errors import BadData
from insula.geometry import Grid


def test_spacing_volume_and_axes_come_from_the_affine() -> None:
    grid = Grid((4, 5, 6), np.diag([-2.0, 3.0, 0.5, 1.0]))
    assert grid.spacing_mm == (2.0, 3.0, 0.5)
    assert grid.voxel_ml == pytest.approx(0.003)
    assert grid.axcodes == "LAS"


def test_centre_mm_is_the_affine() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [1, 2, 3]
    assert Grid((4, 4, 4), affine).centre_mm([1, 0, 2]).tolist() == [3.0, 2.0, 7.0]


def test_it_is_frozen_and_equal_by_value() -> None:
    grid, same = Grid((2, 2, 2), np.eye(4)), Grid((2, 2, 2), np.eye(4))
    assert grid == same
    assert hash(grid) == hash(same)
    assert grid != Grid((2, 2, 3), np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2


def test_close_to_measures_at_the_corners() -> None:
    grid = Grid((100, 100, 100), np.eye(4))
    turned = np.eye(4)
    turned[0, 1] = 1e-4  # 0.01 mm at the far corner
    assert grid.close_to(Grid((100, 100, 100), turned), tolerance_mm=0.02)
    assert not grid.close_to(Grid((100, 100, 100), turned), tolerance_mm=1e-3)
    assert not grid.close_to(Grid((100, 100, 99), np.eye(4)))


@pytest.mark.parametrize(
    ("shape", "affine", "value"),
    [
        ((2, 2, 2), np.diag([1.0, 1.0, 0.0, 1.0]), "singular"),
        ((2, 2, 2), np.full((4, 4), np.nan), "nan"),
        ((2, 2, 2), np.eye(3), "4x4"),
        ((2, 2), np.eye(4), "(2, 2)"),
        ((2, 0, 2), np.eye(4), "(2, 0, 2)"),
    ],
)
def test_it_refuses_what_is_no_grid(shape: tuple[int, ...], affine: np.ndarray, value: str) -> None:
    with pytest.raises(BadData) as caught:
        Grid(shape, affine)
    assert value in str(caught.value)


def test_a_difference_of_the_axes_is_named() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    assert Grid((4, 4, 4), np.diag([-1.0, 1.0, 1.0, 1.0])).unlike(grid) == "axes LAS against RAS"
    assert grid.apart_mm(Grid((4, 4, 5), np.eye(4))) is None
