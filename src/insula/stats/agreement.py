"""Agreement of two raters beyond chance: Cohen's kappa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Agreement", "cohen_kappa"]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two raters agree on the same cases."""

    n: int
    """Number of cases that both judged."""
    observed: float | None
    """Share of the cases with equal judgements, 0 to 1; None without cases."""
    kappa: float | None
    """Cohen's kappa, -1 to 1; None without cases, or if chance alone would give full agreement."""


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> Agreement:
    """Return the agreement of two raters, with unweighted kappa.

    Kappa is (observed - expected) / (1 - expected). The expected agreement follows from how often each rater uses each
    category. If both raters use one and the same category throughout, it is 1, and kappa is undefined.

    Args:
        first: the category of each case by one rater.
        second: the categories by the other rater, in the same order.

    Raises:
        ValueError: the raters have different numbers of cases.

    Source:
        Cohen, J. (1960). A coefficient of agreement for nominal scales. Educational and Psychological Measurement,
        20, 37-46.
    """
    pairs = list(zip(first, second, strict=True))
    n = len(pairs)
    if not n:
        return Agreement(n=0, observed=None, kappa=None)
    equal = sum(a == b for a, b in pairs)
    ours, theirs = Counter(first), Counter(second)
    by_chance = sum(count * theirs[category] for category, count in ours.items())  # expected agreement times n squared
    kappa = None if by_chance == n * n else (n * equal - by_chance) / (n * n - by_chance)
    return Agreement(n=n, observed=equal / n, kappa=kappa)
