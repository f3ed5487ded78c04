"""The phantom's volumes are geometry's."""

from __future__ import annotations

import numpy as np
import pytest

from geometry.orders import turned
from insula.simulate import phantom_case
from insula.simulate.phantom import Sphere, phantom_grid

_BALLS = (Sphere((-38.0, -10.0, 18.0), 14.0), Sphere((30.0, -60.0, 20.0), 6.0))


@pytest.mark.parametrize("degrees", [0.0, 17.0])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (1.0, 1.0, 5.0)])
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


def test_the_same_seed_is_the_same_phantom() -> None:
    grid = phantom_grid(spacing_mm=(4, 4, 4))
    assert np.array_equal(phantom_case(grid, seed=1).scan.image, phantom_case(grid, seed=1).scan.image)
    assert not np.array_equal(phantom_case(grid, seed=1).scan.image, phantom_case(grid, seed=2).scan.image)
