"""Dice and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.metrics import bootstrap, dice_score

_MASKS = st.lists(st.booleans(), min_size=8, max_size=8).map(lambda bits: np.array(bits).reshape(2, 2, 2))


@given(_MASKS, _MASKS)
def test_dice_is_symmetric_bounded_and_the_formula_of_sets(a: np.ndarray, b: np.ndarray) -> None:
    value = dice_score(a, b)
    assert value == dice_score(b, a)
    assert 0 <= value <= 1
    there, here = {*map(tuple, np.argwhere(a))}, {*map(tuple, np.argwhere(b))}
    assert value == (2 * len(there & here) / (len(there) + len(here)) if there or here else 1.0)


def test_two_empty_masks_agree_and_one_does_not() -> None:
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert dice_score(empty, empty) == 1
    assert dice_score(empty, full) == 0


def test_the_interval_holds_the_mean_and_narrows_with_n() -> None:
    rng = np.random.default_rng(0)
    few, many = bootstrap(rng.normal(0.6, 0.2, 20)), bootstrap(rng.normal(0.6, 0.2, 2000))
    assert few.low < few.value < few.high
    assert (few.n, many.n) == (20, 2000)
    # the textbook's 1.96 sigma / sqrt(n)
    assert (many.high - many.low) / 2 == pytest.approx(1.96 * 0.2 / np.sqrt(2000), rel=0.1)
    assert few == bootstrap(np.random.default_rng(0).normal(0.6, 0.2, 20))


def test_one_case_has_no_spread_and_medians_work() -> None:
    assert str(bootstrap([0.5])) == "0.500 [0.500, 0.500] (n = 1)"
    assert bootstrap([0, 0, 1], "median").value == 0


def test_drawing_whole_centres_equals_a_slow_reference() -> None:
    """Resamples of centres, put together case by case: the same means and medians as the fast way's weights."""
    rng = np.random.default_rng(2)
    values, centres = rng.random(23), rng.integers(0, 5, 23)
    names = np.unique(centres)
    drawn = np.random.default_rng(4).multinomial(len(names), np.full(len(names), 1 / len(names)), size=500)
    for statistic, slow in (("mean", np.mean), ("median", np.median)):
        expected = [
            slow(
                np.concatenate(
                    [np.repeat(values[centres == name], times) for name, times in zip(names, row, strict=True)]
                )
            )
            for row in drawn
        ]
        found = bootstrap(values, statistic, clusters=[str(c) for c in centres], draws=500, seed=4)  # type: ignore[arg-type]
        assert found.value == pytest.approx(slow(values), abs=1e-12)
        assert (found.low, found.high) == pytest.approx(tuple(np.percentile(expected, [2.5, 97.5])), abs=1e-12)


def test_cases_of_one_centre_are_not_independent() -> None:
    """Ten centres whose cases are all alike: drawing cases pretends to know more than there is."""
    values = np.repeat(np.random.default_rng(0).random(10), 20)
    centres = [str(n // 20) for n in range(200)]
    alone, together = bootstrap(values), bootstrap(values, clusters=centres)
    assert together.high - together.low > 3 * (alone.high - alone.low)
