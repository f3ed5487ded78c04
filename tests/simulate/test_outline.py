"""Outlines know their points and volume; ovoids are as large as lacunes are."""

from __future__ import annotations

import numpy as np
import pytest

from insula.simulate import draw_ovoid
from simulate.hosts import ball_outline


@pytest.mark.parametrize("seed", range(12))
def test_ovoids_are_as_large_as_lacunes(seed: int) -> None:
    ovoid = draw_ovoid(np.random.default_rng(seed))
    inside = np.argwhere(ovoid.voxels.numpy())
    across = np.ptp(inside, axis=0) + 1
    assert len(inside) >= 5
    assert across.max() <= 17
    assert ovoid.volume_ml < 2.5
    middle = inside.mean(0) + ovoid.origin_mm
    assert np.abs(middle).max() < 1


def test_points_lie_inside_and_are_few() -> None:
    outline = ball_outline()
    points = outline.points
    assert 0 < len(points) <= 64
    assert outline.voxels.numpy()[tuple(points.T)].all()
    assert outline.volume_ml == pytest.approx(4 / 3 * np.pi * 8, rel=0.02)
