"""Soft maps against scikit-learn, and what a histogram of logits keeps."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from insula.config import Scaling
from insula.metrics import LOGITS, average_precision, count_logits, precision_recall


@pytest.mark.parametrize("digits", [1, 2, 7])
def test_average_precision_equals_scikit_learn(digits: int) -> None:
    """With many equal values, with few, and where most of the map is its lowest value."""
    rng = np.random.default_rng(digits)
    truth = rng.random((12, 10, 8)) < 0.1
    prob = np.clip(truth * 0.3 + rng.normal(0.3, 0.3, truth.shape), 0, 1).round(digits)
    assert (prob == 0).mean() > 0.05
    expected = average_precision_score(truth.ravel(), prob.ravel())
    assert average_precision(truth, prob) == pytest.approx(expected, abs=1e-9)
    assert average_precision(truth, prob.astype(np.float32)) == pytest.approx(expected, abs=1e-7)


def test_a_perfect_map_and_a_constant_one() -> None:
    truth = np.zeros((4, 4, 4), bool)
    truth[0, 0, :2] = True
    assert average_precision(truth, truth.astype(np.float32)) == 1
    assert average_precision(truth, np.full(truth.shape, 0.3)) == pytest.approx(2 / 64)


def test_an_empty_truth_wants_an_exactly_constant_map() -> None:
    none = np.zeros((4, 4, 4), bool)
    prob = np.zeros(none.shape, np.float32)
    assert average_precision(none, prob) == 1
    prob[1, 2, 3] = 1e-7
    assert average_precision(none, prob) == 0


def test_the_curve_ends_where_everything_is_called() -> None:
    truth = np.array([True, False, True, False])
    curve = precision_recall(truth, np.array([0.9, 0.8, 0.7, 0.1]))
    assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.1]
    assert curve.recall.tolist() == [0.5, 0.5, 1, 1]
    assert curve.precision.tolist() == pytest.approx([1, 0.5, 2 / 3, 0.5])


def test_histograms_keep_counts_volumes_and_loss() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(-4, 4, (30, 30, 30))
    prob = 1 / (1 + np.exp(-logits))
    prob[:5] = 0
    prob[5, 0, 0] = 1
    truth = rng.random(prob.shape) < prob
    counts = count_logits(truth, prob)
    assert counts.every.sum() == prob.size
    assert counts.lesion.sum() == truth.sum()
    assert counts.every[0] == (prob == 0).sum()
    assert counts.every[-1] == 1
    for threshold in (0.05, 0.5, 0.9):
        assert counts.voxels_above(threshold) == pytest.approx((prob >= threshold).sum(), rel=0.01)
    kept = prob[5:]
    halved = 1 / (1 + np.exp(-np.log(kept / np.maximum(1 - kept, 1e-300)) / 2))
    assert counts.voxels_above(0.7, scaling=Scaling(2)) == pytest.approx((halved >= 0.7).sum(), rel=0.01)
    both = counts + counts
    assert both.every.sum() == 2 * prob.size
    assert np.all(np.diff(LOGITS) > 0)


def test_a_map_just_above_one_is_counted_as_one() -> None:
    """Means of float32 probabilities can exceed 1 by a rounding."""
    truth = np.ones((2, 2, 2), bool)
    above = np.full(truth.shape, np.nextafter(np.float32(1), np.float32(2)))
    assert np.array_equal(count_logits(truth, above).every, count_logits(truth, np.ones_like(above)).every)
