"""Intervals against textbook formulas, another package's figures, and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from insula.stats import mean_interval, median_interval
from insula.stats.interval import spread_of


def test_independent_cases_give_the_textbooks_interval() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.1, 20)
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, 19, loc=values.mean(), scale=stats.sem(values))
    assert (interval.value, interval.low, interval.high) == pytest.approx((values.mean(), low, high))
    singles = spread_of(values, [str(n) for n in range(20)])  # every case a centre of its own: CR2 is the same
    assert singles.error == pytest.approx(stats.sem(values))
    assert singles.freedom == pytest.approx(19)
    assert mean_interval(values, ["one"] * 20).low == interval.low


def test_equal_centres_give_the_interval_of_their_means() -> None:
    """Balanced clusters: CR2 is the t interval over the clusters' means."""
    values = np.random.default_rng(1).random((6, 7))
    spread = spread_of(values.ravel(), [str(n // 7) for n in range(42)])
    assert spread.error == pytest.approx(stats.sem(values.mean(1)))
    assert spread.freedom == pytest.approx(5)


def test_unequal_centres_give_the_formulas_written_out() -> None:
    rng = np.random.default_rng(2)
    names = [name for name, count in zip("abcdef", (1, 2, 3, 5, 8, 13), strict=True) for _ in range(count)]
    values = rng.random(len(names))
    n = np.array([names.count(name) for name in "abcdef"])
    total, mean = len(names), values.mean()
    residual = [values[[x == name for x in names]].sum() - names.count(name) * mean for name in "abcdef"]
    variance = sum(r * r / (1 - k / total) for r, k in zip(residual, n, strict=True)) / total**2
    a = 1 / np.sqrt(1 - n / total)
    gram = np.array([[a[c] * a[d] * (n[c] * (c == d) - n[c] * n[d] / total) for d in range(6)] for c in range(6)])
    spread = spread_of(values, names)
    assert spread.error == pytest.approx(math.sqrt(variance))
    assert spread.freedom == pytest.approx(np.trace(gram) ** 2 / np.trace(gram @ gram))


def test_where_nothing_holds_nothing_is_said() -> None:
    assert str(mean_interval([0.757])) == "0.757 (n = 1, too few for an interval)"
    eight = mean_interval([0.0, 0.2, 0.5, 0.6, 0.7, 0.89, 0.8, 0.4], list("aaabbbcc"))
    assert (eight.low, eight.high) == (None, None)
    assert eight.centre_values == pytest.approx((0.7 / 3, 0.6, 2.19 / 3))
    assert str(eight) == "0.511 (centres: 0.233, 0.600, 0.730) (n = 8, 3 centres, too few for an interval)"
    four = median_interval(np.linspace(0, 1, 40).tolist(), list("abcd") * 10)
    assert (four.low, four.basis) == (None, "n = 40, 4 centres, too few for a median's interval")
    interval = mean_interval([0.1, 0.2, 0.3, 0.4, 0.5], ["a"] * 5)
    assert str(interval) == "0.300 [0.104, 0.496] (n = 5, this centre only)"
    assert median_interval([0.1, 0.2, 0.3, 0.9], list("abcd")).low is None
    empty = mean_interval([1.0] * 6, list("aabbcd"), least=0, most=1)
    assert str(empty) == "1.000 (n = 6, 4 centres, all values the same: no interval)"
    rng = np.random.default_rng(0)
    lonely = mean_interval(rng.random(60), ["a"] * 57 + ["b", "c", "d"])
    assert (lonely.low, lonely.basis) == (None, "n = 60, 4 centres, one of them with nearly all cases: no interval")


def test_centres_that_nobody_knows_are_not_one_centre() -> None:
    values = np.random.default_rng(0).random(30)
    nobody = mean_interval(values, ["unknown"] * 30)
    assert nobody.low == mean_interval(values).low
    assert nobody.basis == "n = 30, centres unknown, as if cases were independent"
    some = mean_interval(values, ["unknown"] * 10 + ["a"] * 10 + ["b"] * 5 + ["c"] * 5)
    assert (some.low, some.centre_values) == (None, ())
    assert some.basis.endswith("some of them unknown: no interval")


def test_equal_values_at_the_median_do_not_make_it_certain() -> None:
    """Four zeros and five ones: from one side the share below the median has no variance."""
    interval = median_interval([0.0] * 4 + [1.0] * 5)
    assert (interval.value, interval.low, interval.high) == (1.0, 0.0, 1.0)
    rng, held = np.random.default_rng(7), 0
    for _ in range(300):
        median = median_interval(np.where(rng.random(40) < 0.46, 1.0, rng.random(40)).tolist())
        held += median.low is None or median.high is None or median.low <= 0.926 <= median.high  # 0.46 at 1: 0.5 / 0.54
    assert held / 300 > 0.91


@given(st.lists(st.floats(0, 1), min_size=5, max_size=40), st.integers(4, 9))
def test_intervals_hold_their_value_and_stay_in_range(values: list[float], centres: int) -> None:
    names = [str(n % centres) for n in range(len(values))]
    mean, median = mean_interval(values, names, least=0, most=1), median_interval(values, names)
    assert mean.low is not None or np.ptp(values) <= 1e-9
    for interval in (mean, median):
        if interval.low is not None and interval.high is not None:
            assert 0 <= interval.low <= interval.value + 1e-12
            assert interval.value - 1e-12 <= interval.high <= 1


def test_ten_centres_whose_cases_are_alike_know_less_than_their_cases_pretend() -> None:
    values = np.repeat(np.random.default_rng(0).random(10), 20)
    alone, together = mean_interval(values), mean_interval(values, [str(n // 20) for n in range(200)])
    assert alone.low is not None
    assert alone.high is not None
    assert together.low is not None
    assert together.high is not None
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_the_nominal_share_of_intervals_hold() -> None:
    """300 studies of 30 cases in 6 centres that are alike by 0.3: 95 % give or take three standard errors."""
    rng, held = np.random.default_rng(5), np.zeros(2)
    names = [str(n) for n in np.repeat(np.arange(6), (1, 2, 3, 6, 8, 10))]
    for _ in range(300):
        values = (
            math.sqrt(0.3) * rng.standard_normal(6)[np.array(names, int)] + math.sqrt(0.7) * rng.standard_normal(30)
        ).tolist()
        for n, interval in enumerate((mean_interval(values, names), median_interval(values, names))):
            held[n] += interval.low is None or interval.high is None or interval.low <= 0 <= interval.high
    assert np.all(held / 300 > 0.91)
    assert held[0] / 300 < 0.985
