"""The decision, on hand-made lesions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from geometry.orders import ORDERS, stored_as
from insula.config import Calibration
from insula.errors import UsageError
from insula.geometry import Grid
from insula.postprocess import decide, measure_lesions
from insula.volume import Mask

_AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
_AFFINE[:3, 3] = [-20, -30, -10]
_GRID = Grid((20, 24, 18), _AFFINE)


def _prob() -> np.ndarray:
    prob = np.zeros(_GRID.shape, np.float32)
    prob[2:6, 2:6, 2:6] = 0.9  # 64 voxels of 8 microlitres
    prob[6, 6, 6] = 0.7  # touches it by a corner: the same lesion
    prob[12:14, 12:14, 12:14] = 0.6  # 8 voxels
    prob[18, 20, 15] = 0.4
    return prob


def test_lesions_are_counted_measured_and_ordered() -> None:
    mask = decide(_prob(), _GRID, threshold=0.5)
    first, second = measure_lesions(mask, _prob())
    assert (first.number, second.number) == (1, 2)
    assert first.volume_ml == pytest.approx(65 * 0.008)
    assert second.volume_ml == pytest.approx(8 * 0.008)
    assert second.centre_mm == pytest.approx((-20 + 25, -30 + 25, -10 + 25))
    assert second.extent_mm == pytest.approx((4, 4, 4))
    assert first.mean_probability == pytest.approx((64 * 0.9 + 0.7) / 65, abs=1e-5)
    assert mask.volume_ml == pytest.approx(first.volume_ml + second.volume_ml)


def test_the_threshold_is_part_of_the_lesion() -> None:
    assert decide(np.full(_GRID.shape, 0.5, np.float32), _GRID, threshold=0.5).voxels.all()
    for bad in (0.0, -1.0, 1.1):
        with pytest.raises(UsageError, match=f"`threshold` {bad}"):
            decide(_prob(), _GRID, threshold=bad)


def test_small_lesions_are_dropped_when_told() -> None:
    kept = decide(_prob(), _GRID, threshold=0.3, min_lesion_ml=0.05)
    assert kept.voxels.sum() == 65 + 8
    assert decide(_prob(), _GRID, threshold=0.3, min_lesion_ml=0.1).voxels.sum() == 65
    assert decide(_prob(), _GRID, threshold=0.3, min_lesion_ml=100).volume_ml == 0


def test_nothing_found_is_an_answer() -> None:
    empty = decide(np.zeros(_GRID.shape, np.float32), _GRID, threshold=0.5)
    assert measure_lesions(empty, np.zeros(_GRID.shape, np.float32)) == ()


def test_the_table_does_not_depend_on_the_order_of_axes() -> None:
    prob = _prob()
    expected = measure_lesions(Mask(prob > 0.5, _GRID), prob)
    for axes in ORDERS:
        stored, grid = stored_as(prob, _GRID, axes)
        for lesion, same in zip(measure_lesions(Mask(stored > 0.5, grid), stored), expected, strict=True):
            assert lesion.volume_ml == same.volume_ml
            assert np.allclose(lesion.centre_mm, same.centre_mm)
            assert lesion.extent_mm == same.extent_mm


def test_lesions_that_are_unlikely_to_be_real_are_dropped() -> None:
    """Two pieces of one size: the one with the lower probabilities goes; without a regression nothing does."""
    prob = np.zeros((20, 20, 20), np.float32)
    prob[2:6, 2:6, 2:6], prob[12:16, 12:16, 12:16] = 0.95, 0.6
    grid = Grid((20, 20, 20), np.eye(4))
    sure = Calibration(lesion=(-2.0, 1.5, 0.0), least_chance=0.3)
    mask = decide(prob, grid, threshold=0.5, calibration=sure)
    assert mask.voxels[3, 3, 3]
    assert not mask.voxels[13, 13, 13]
    for other in (replace(sure, least_chance=0.0), Calibration(least_chance=0.3)):
        assert decide(prob, grid, threshold=0.5, calibration=other).voxels.sum() == 128
    chances = [lesion.confidence for lesion in measure_lesions(decide(prob, grid, threshold=0.5), prob, sure)]
    assert sorted(chance is not None and chance >= 0.3 for chance in chances) == [False, True]
    assert [lesion.confidence for lesion in measure_lesions(mask, prob)] == [None]


def test_a_faint_outline_of_a_territory_is_kept_however_unlikely() -> None:
    """Two faint pieces, whose fit finds the larger one the less likely: of 10 ml, and of a slice less."""
    prob = np.zeros((60, 20, 30), np.float32)
    prob[2:22, 0:20, 2:27], prob[30:49, 0:20, 2:27] = 0.4, 0.4
    doubtful = Calibration(lesion=(-2.0, 2.7, -0.4), least_chance=0.2)
    grid = Grid(prob.shape, np.eye(4))
    lesions = measure_lesions(Mask(prob > 0, grid), prob, doubtful)
    assert [lesion.volume_ml for lesion in lesions] == [10.0, 9.5]
    assert all(lesion.confidence is not None and lesion.confidence < 0.05 for lesion in lesions)
    mask = decide(prob, grid, threshold=0.3, calibration=doubtful)
    assert mask.voxels[10, 10, 10]
    assert not mask.voxels[40, 10, 10]
