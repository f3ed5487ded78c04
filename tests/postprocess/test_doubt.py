"""Intervals and confidence: laws, and numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from insula.config import Calibration
from insula.postprocess import lesion_confidence, mean_logits, volume_doubt, volume_interval

_FITTED = Calibration(volume=(-1.0, 2.0), lesion=(-1.0, 0.5, 0.25))


def test_the_interval_by_hand() -> None:
    """log1p(9) + (-1, 2) x 0.5, and back."""
    low, high = volume_interval(9.0, 0.5, _FITTED) or (0, 0)
    assert (low, high) == pytest.approx((10 * math.exp(-0.5) - 1, 10 * math.exp(1) - 1))


def test_the_interval_is_of_volumes_and_grows_with_doubt() -> None:
    last = 0.0
    for doubt in (0.5, 1, 2, 4):
        low, high = volume_interval(2.0, doubt, _FITTED) or (0, 0)
        assert 0 <= low <= 2 <= high
        assert high - low > last
        last = high - low
    empty = volume_interval(0.0, 0.5, _FITTED)
    assert empty is not None
    assert empty[0] == 0
    assert empty[1] > 0


def test_doubt_is_least_where_the_threshold_does_not_matter() -> None:
    assert volume_doubt(5, 5) == 0.5
    assert volume_doubt(5, 1) == pytest.approx(math.log(3) + 0.5)


def test_confidence_rises_with_probability_and_size() -> None:
    chance = lesion_confidence(np.array([2.0, 3.0, 2.0, 1e4]), np.array([1.0, 1.0, 5.0, 1.0]), (-1.0, 0.5, 0.25))
    assert chance[0] == pytest.approx(0.5)
    assert chance[1:3].min() > 0.5
    assert chance[3] == pytest.approx(1)


def test_without_a_fit_nothing_is_claimed() -> None:
    assert volume_interval(1.0, 1.0, Calibration()) is None


def test_mean_logits_are_cut_before_they_are_averaged() -> None:
    prob = np.array([[0.5, 0.75, 1.0], [0.0, 0.25, 0.25]], np.float32)
    labels = np.array([[1, 1, 2], [0, 3, 3]], np.uint32)
    assert mean_logits(prob, labels, 3) == pytest.approx([math.log(3) / 2, 15, -math.log(3)])
