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
    values: Sequence[float], statistic: Callable[..., np.ndarray] = np.mean, *, clusters: Sequence[str] | None = None,
    draws: int = 10_000, seed: int = 0,
) -> Interval:  # fmt: skip
    """The percentile bootstrap over cases, or over whole clusters of them.

    Args:
        values: one per case; at least one.
        statistic: takes an array and `axis`, e.g. `np.mean`, `np.median`.
        clusters: whose case it is, e.g. its centre; cases of one centre are more alike than others, and drawing
            whole centres keeps the interval honest about it.
        draws: resamples.
        seed: the same seed, the same interval.

    Source:
        Efron 1993, An Introduction to the Bootstrap, chapter 13.
    """
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    if clusters is None:
        drawn = statistic(data[rng.integers(len(data), size=(draws, len(data)))], axis=1)
    else:
        names = np.asarray(clusters)
        members = [np.flatnonzero(names == name) for name in np.unique(names)]
        picks = rng.integers(len(members), size=(draws, len(members)))
        drawn = np.array([statistic(data[np.concatenate([members[n] for n in row])], axis=0) for row in picks])
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value=float(statistic(data, axis=0)), low=float(low), high=float(high), n=len(data))
