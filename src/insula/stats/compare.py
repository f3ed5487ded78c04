"""Difference between two sets of results on the same cases."""

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
    """The mean paired difference, its p value, and the power of these cases."""

    mean: Interval
    same: int
    """Number of cases without any difference; they count like all others."""
    p: float | None
    """Two-sided p value for a mean difference of zero, from the t distribution of the interval; None without an
    interval."""
    power: float | None
    """Probability that as many cases, equally variable, show the hoped-for difference; None without an interval."""
    least: float | None
    """Smallest true difference that such cases show in four of five studies; None without an interval."""


def difference_of(
    change: Sequence[float], clusters: Sequence[str] | None = None, *, hoped: float, reach: float = math.inf
) -> Difference:
    """Return the mean of paired differences with its interval, p value and power.

    Args:
        change: difference of each case, second minus first; at least one case.
        clusters: centre of each case, or the head that it was made of; None if cases are independent.
        hoped: the difference that would matter, for the power.
        reach: largest difference that a case can have; the interval is cut there.

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
    """Correct p values by Holm's step-down method.

    The smallest of m is multiplied by m, the next by m - 1, and so on; the results never fall and are at most 1.

    Args:
        values: p value of each test.

    Returns:
        The corrected p values, in the same order.

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
