"""Cohen's kappa: the published example, scikit-learn's value, and its laws."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import cohen_kappa_score

from insula.stats import cohen_kappa


def test_the_value_is_that_of_a_worked_example() -> None:
    """20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: 0.7 observed, 0.5 expected, kappa 0.4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    agreement = cohen_kappa(first, second)
    assert (agreement.n, agreement.observed) == (50, 0.7)
    assert agreement.kappa == pytest.approx(0.4)


@pytest.mark.parametrize("seed", range(5))
def test_the_value_is_scikit_learns_and_symmetric(seed: int) -> None:
    draw = random.Random(seed)
    first = draw.choices(["pass", "fix", "fail"], [5, 2, 1], k=40)
    second = [verdict if draw.random() < 0.6 else draw.choice(["pass", "fix", "fail"]) for verdict in first]
    agreement = cohen_kappa(first, second)
    assert agreement.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert agreement == cohen_kappa(second, first)


def test_full_agreement_is_one_and_opposition_is_below_zero() -> None:
    assert cohen_kappa(["a", "b"], ["a", "b"]).kappa == 1
    assert cohen_kappa(["a", "b"], ["b", "a"]).kappa == -1


def test_kappa_is_undefined_without_cases_and_with_one_category() -> None:
    assert cohen_kappa([], []).kappa is None
    alike = cohen_kappa(["pass"] * 3, ["pass"] * 3)
    assert (alike.observed, alike.kappa) == (1, None)


def test_the_raters_have_the_same_cases() -> None:
    with pytest.raises(ValueError, match="shorter"):
        cohen_kappa(["a"], [])
