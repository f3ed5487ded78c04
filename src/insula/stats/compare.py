"""A difference between two sets of results on the same cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from insula.stats.interval import Interval, Spread, mean_interval, spread_of

__all__ = ["Difference", "difference_of", "holm"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean paired difference, and what these cases could have shown."""

    mean: Interval
    same: int
    """Cases in which nothing differs; they count like all others."""
    p: float | None
    """That the mean difference is none, two-sided, by the t distribution of the interval; None where there is no interval."""
    power: float | None
    """The chance that as many cases, as different from each other, show the difference that one hopes for."""
    least: float | None
    """The smallest true difference that they would show in four of five studies."""


def difference_of(
    change: Sequence[float], clusters: Sequence[str] | None = None, *, hoped: float, reach: float = math.inf
) -> Difference:
    """Second minus first, case by case.

    Args:
        change: one difference a case; at least one.
        clusters: each case's centre, or whose head it was made of; None where cases are independent.
        hoped: the difference that would matter, for the power.
        reach: the greatest difference that a case can have; the interval is cut there.

    Source:
        As `mean_interval`; the power is that of the t test with the same degrees of freedom.
    """
    data = np.asarray(change, dtype=np.float64)
    mean, same = mean_interval(change, clusters, least=-reach, most=reach), int((data == 0).sum())
    if mean.low is None:
        return Difference(mean=mean, same=same, p=None, power=None, least=None)
    known = None if mean.centres is None else clusters
    spread = spread_of(data, known)
    p = 2 * float(stats.t.sf(abs(spread.mean) / spread.error, spread.freedom))
    least = float(stats.t.ppf(0.975, spread.freedom) + stats.t.ppf(0.8, spread.freedom)) * spread.error
    return Difference(mean=mean, same=same, p=p, power=_power(hoped, spread), least=least)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the smallest of m times m, the next times m - 1, never falling, at most 1.

    Args:
        values: p of each test.

    Returns:
        The corrected ones, in the same order.

    Source:
        Holm 1979, Scand. J. Statist. 6:65.
    """
    order = np.argsort(values, kind="stable")
    out, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, values[place] * (len(values) - rank)))
        out[int(place)] = least
    return out


def _power(hoped: float, spread: Spread) -> float:
    edge, away = float(stats.t.ppf(0.975, spread.freedom)), abs(hoped) / spread.error
    return float(min(1.0, stats.nct.sf(edge, spread.freedom, away) + stats.nct.sf(edge, spread.freedom, -away)))
