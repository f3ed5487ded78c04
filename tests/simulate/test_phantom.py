"""The phantom's volumes are geometry's."""

from __future__ import annotations

import numpy as np
import pytest

from geometry.orders import turned
from insula.geometry import Grid
from insula.simulate import phantom_case
from insula.simulate.phantom import Sphere, phantom_grid

_BALLS = (Sphere((-38.0, -10.0, 18.0), 14.0), Sphere((30.0, -60.0, 20.0), 6.0))


@pytest.mark.parametrize("degrees", [0.0, 17.0])
@pytest.mark.parametrize(
    "spacing", [pytest.param((1.0, 1.0, 1.0), marks=pytest.mark.long), (2.0, 2.0, 2.0), (1.0, 1.0, 5.0)]
)
def test_the_lesion_has_the_balls_volume_on_any_grid(spacing: tuple[float, float, float], degrees: float) -> None:
    case = phantom_case(turned(phantom_grid(spacing_mm=spacing), degrees), _BALLS)
    assert case.truth.volume_ml == pytest.approx(sum(ball.volume_ml for ball in _BALLS), rel=0.05)
    assert case.phase == "chronic"


def test_a_control_has_none_and_skulls_come_off() -> None:
    grid = phantom_grid(spacing_mm=(4, 4, 4))
    with_skull, without = phantom_case(grid, ()), phantom_case(grid, (), skull=False)
    assert with_skull.phase == "control"
    assert with_skull.truth.volume_ml == 0
    assert (without.scan.image > 100).sum() < (with_skull.scan.image > 100).sum()


def _extent_mm(inside: np.ndarray, affine: np.ndarray) -> np.ndarray:
    places = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
    return np.stack([places.min(0), places.max(0)])


def test_the_head_is_where_its_ellipsoids_are() -> None:
    grid = phantom_grid(spacing_mm=(2, 2, 2))
    middle = np.array([0, -18, 10])
    for skull, axes in ((True, (80, 98, 88)), (False, (69, 86, 76))):
        image = phantom_case(grid, (), skull=skull, noise=0).scan.image
        assert np.abs(_extent_mm(image > 0, grid.affine) - [middle - axes, middle + axes]).max() <= 2
    fluid = np.isclose(phantom_case(grid, (), noise=0).scan.image, 220)
    assert np.abs(_extent_mm(fluid, grid.affine) - [(-18, -48, 10), (18, 8, 30)]).max() <= 2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_shell_is_as_thick_as_it_says_along_a_line_through_the_middle(axis: int) -> None:
    """Skin, skull, CSF, cortex and white matter, to a tenth of a millimetre."""
    middle, axes = (
        (0, -18, 10)[axis],
        np.array([(80, 74, 69, 67, 58), (98, 92, 86, 84, 75), (88, 82, 76, 74, 64)])[axis],
    )
    shape, affine = [2, 2, 2], np.diag([0.1, 0.1, 0.1, 1.0])
    shape[axis] = 2400
    affine[:3, 3] = (0, -18, 10)
    affine[axis, 3] = middle - 120
    image = phantom_case(Grid((shape[0], shape[1], shape[2]), affine), (), noise=0).scan.image
    line = image[tuple(slice(None) if n == axis else 0 for n in range(3))]
    places = middle - 120 + 0.1 * np.flatnonzero(np.diff(line))
    outer = np.concatenate([middle - axes, middle + axes])
    assert all(np.abs(places - end).min() <= 0.11 for end in outer)


def test_the_lesion_is_in_the_left_hemisphere() -> None:
    case = phantom_case(phantom_grid(spacing_mm=(2, 2, 2)))
    ends = _extent_mm(case.truth.voxels, case.scan.grid.affine)
    assert np.abs(ends - [(-52, -24, 4), (-24, 4, 32)]).max() <= 2


def test_the_same_seed_is_the_same_phantom() -> None:
    grid = phantom_grid(spacing_mm=(4, 4, 4))
    assert np.array_equal(phantom_case(grid, seed=1).scan.image, phantom_case(grid, seed=1).scan.image)
    assert not np.array_equal(phantom_case(grid, seed=1).scan.image, phantom_case(grid, seed=2).scan.image)
