"""A mean with its doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "bootstrap"]


@dataclass(frozen=True)
class Interval:
    """A statistic over n cases and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n})"


def bootstrap(
    values: Sequence[float], statistic: Literal["mean", "median"] = "mean", *, clusters: Sequence[str] | None = None,
    draws: int = 10_000, seed: int = 0,
) -> Interval:  # fmt: skip
    """The percentile bootstrap over cases, or over whole clusters of them.

    Args:
        values: one per case; at least one.
        statistic: of the cases.
        clusters: whose case it is, e.g. its centre; cases of one centre are more alike than others, and drawing
            whole centres keeps the interval honest about it.
        draws: resamples.
        seed: the same seed, the same interval.

    Source:
        Efron 1993, An Introduction to the Bootstrap, chapter 13.
    """
    data = np.asarray(values, dtype=np.float64)
    names = np.arange(len(data)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    groups = int(names.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=draws)
    repeats = drawn[:, names]  # how often each case is in each resample; at least one is in every one
    of = {"mean": _means, "median": _medians}[statistic]
    low, high = np.percentile(of(data, repeats), [2.5, 97.5])
    return Interval(float(of(data, np.ones((1, len(data)), np.int64))[0]), float(low), float(high), len(data))


def _means(data: NDArray[np.float64], repeats: NDArray[np.int64]) -> NDArray[np.float64]:
    return (repeats * data).sum(1) / repeats.sum(1)


def _medians(data: NDArray[np.float64], repeats: NDArray[np.int64]) -> NDArray[np.float64]:
    order = np.argsort(data, kind="stable")
    reached = repeats[:, order].cumsum(1)
    count = reached[:, -1:]
    lower, upper = ((reached <= place).sum(1) for place in ((count - 1) // 2, count // 2))
    return (data[order[lower]] + data[order[upper]]) / 2
