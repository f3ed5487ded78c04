"""Differences, their tests and what they could have shown."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from insula.stats import difference_of, holm


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1, which may not fall below the one before."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_p_is_below_five_percent_exactly_where_the_interval_leaves_out_zero() -> None:
    rng = np.random.default_rng(0)
    names = [str(n % 7) for n in range(35)]
    for shift in np.linspace(-0.1, 0.1, 21):
        difference = difference_of((rng.normal(0, 0.1, 35) + shift).tolist(), names, hoped=0.02)
        assert difference.p is not None
        assert difference.mean.low is not None
        assert difference.mean.high is not None
        assert (difference.p < 0.05) == (difference.mean.low > 0 or difference.mean.high < 0)


def test_zeros_count_and_are_counted() -> None:
    difference = difference_of([0.0, 0.0, 0.0, 0.1, 0.2, 0.3], hoped=0.02)
    assert difference.same == 3
    assert difference.mean.n == 6
    assert difference.p == pytest.approx(stats.ttest_1samp([0, 0, 0, 0.1, 0.2, 0.3], 0).pvalue)


def test_the_power_is_that_of_the_t_test() -> None:
    """Against 20,000 simulated studies of 12 cases with a standard deviation of 0.1."""
    rng = np.random.default_rng(1)
    difference = difference_of(_scaled(rng.normal(0, 1, 12), 0.1), hoped=0.08)
    simulated = stats.ttest_1samp(rng.normal(0.08, 0.1, (20_000, 12)), 0, axis=1).pvalue < 0.05
    assert difference.power == pytest.approx(simulated.mean(), abs=0.012)
    assert difference.least is not None
    seen = stats.ttest_1samp(rng.normal(difference.least, 0.1, (20_000, 12)), 0, axis=1).pvalue < 0.05
    assert seen.mean() == pytest.approx(0.8, abs=0.02)


def test_where_there_is_no_interval_there_is_no_test() -> None:
    difference = difference_of([0.1, 0.2, 0.3, 0.2, 0.1, 0.4], list("aabbcc"), hoped=0.02)
    assert (difference.p, difference.power, difference.least) == (None, None, None)
    same = difference_of([0.0] * 6, hoped=0.02)
    assert (same.p, same.power, same.same) == (None, None, 6)
    steady = difference_of([0.1 + 0.2] * 7, hoped=0.02)  # which is not quite one number
    assert (steady.p, steady.power) == (None, None)


@pytest.mark.parametrize("deviation", [0.02, 0.008, 1e-4, 1e-9])
def test_the_power_is_a_number_however_alike_two_sets_are(deviation: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        change = rng.normal(0, deviation, 30).tolist()
        difference = difference_of(change, [str(n % 6) for n in range(30)], hoped=0.1)
        assert difference.power is not None
        assert 0.9 < difference.power <= 1


def _scaled(values: np.ndarray, deviation: float) -> list[float]:
    return ((values - values.mean()) / values.std(ddof=1) * deviation).tolist()
