"""The intensity scale is that of the foreground, and the foreground is what a slow reading of its rule gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from insula.config import PrepareConfig
from insula.prepare import measure, measure_each


def _slow(values: NDArray[np.float32], config: PrepareConfig) -> list[float]:
    """Return middle, width and background, voxel by voxel as the rule says."""
    ordered = sorted(float(value) for value in values)

    def rank(among: list[float], percent: float) -> float:
        return among[round((len(among) - 1) * percent / 100)]

    low, high = rank(ordered, 1.0), rank(ordered, 99.5)
    limit = np.float32(low + (high - low) / 10)
    foreground = [value for value in ordered if value >= limit]
    air = [value for value in ordered if value < limit]
    width = rank(foreground, config.high_percentile) - rank(foreground, config.low_percentile)
    return [rank(foreground, 50.0), width if width > 0 else high - low, rank(air or ordered[:1], 50.0)]


@pytest.mark.parametrize("config", [PrepareConfig(), PrepareConfig(low_percentile=1.0, high_percentile=99.0)])
@pytest.mark.parametrize("air", [0.0, 0.2, 0.9])
def test_the_scale_is_that_of_the_slow_rule(air: float, config: PrepareConfig) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for size in (997, 1000, 1003):
        values = np.where(rng.random(size) < air, np.abs(rng.normal(0, 4, size)), rng.normal(100, 40, size))
        values = values.astype(np.float32)
        scale = measure(torch.from_numpy(values).reshape(size, 1, 1), config)
        assert [scale.middle, scale.width, scale.background] == pytest.approx(_slow(values, config), rel=1e-12)
        rows.append(np.sort(values[:997]))
    measured = measure_each(torch.from_numpy(np.stack(rows)), config)
    for row, values in zip(measured.tolist(), rows, strict=True):
        assert row == pytest.approx(_slow(values, config), rel=1e-12)


@pytest.mark.parametrize(("level", "inside"), [(9.0, False), (10.0, True), (11.0, True)])
def test_the_foreground_begins_a_tenth_of_the_way_up(level: float, inside: bool) -> None:
    """Half of the volume lies just under, at or just over a tenth of the range from air (0) to tissue (100)."""
    image = torch.zeros(30, 30, 30)
    image[8:22], image[22:] = level, 100.0
    scale = measure(image, PrepareConfig())
    assert scale.middle == (level if inside else 100.0)
    assert scale.background == (0.0 if inside else level)


def test_few_extreme_voxels_do_not_move_the_foreground() -> None:
    """The range begins at the 1st percentile and ends at the 99.5th."""
    image = torch.zeros(10, 10, 100)
    image[:, :, 40:70], image[:, :, 70:] = 11.0, 100.0
    expected = measure(image, PrepareConfig())
    assert expected.background == 0
    flat = image.flatten()
    flat[:90] = -1000.0  # 0.9 % of the volume
    flat[-40:] = 5000.0  # 0.4 %
    assert measure(flat.reshape(image.shape), PrepareConfig()) == expected
    flat[:120] = -1000.0  # 1.2 %: now the range begins here, and air is foreground
    assert measure(flat.reshape(image.shape), PrepareConfig()).middle < expected.middle
    flat[:120] = 0.0
    flat[-60:] = 5000.0  # 0.6 %: now the range ends there, and tissue is air
    assert measure(flat.reshape(image.shape), PrepareConfig()).middle > expected.middle


def test_a_foreground_of_one_value_has_the_width_of_the_whole_range() -> None:
    image = torch.zeros(20, 20, 20)
    image[10:] = 50.0
    assert measure(image, PrepareConfig()).width == 50.0
