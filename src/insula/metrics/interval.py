"""A mean with its doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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
    values: Sequence[float], statistic: Callable[..., np.ndarray] = np.mean, *, draws: int = 10_000, seed: int = 0
) -> Interval:
    """The percentile bootstrap over cases.

    Args:
        values: one per case, independent; at least one.
        statistic: takes an array and `axis`, e.g. `np.mean`, `np.median`.
        draws: resamples.
        seed: the same seed, the same interval.

    Source:
        Efron 1993, An Introduction to the Bootstrap, chapter 13.
    """
    data = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(len(data), size=(draws, len(data)))
    low, high = np.percentile(statistic(data[picks], axis=1), [2.5, 97.5])
    return Interval(value=float(statistic(data, axis=0)), low=float(low), high=float(high), n=len(data))
