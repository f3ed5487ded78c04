"""How soon failures are found when results are looked at in the order of a score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DRAWS = 2000


def found(failures: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of all failures among the first 1, 2, ... n results, highest score first; ties in random order, expected.

    Args:
        failures: (n,), at least one.
        scores: (n,).
    """
    _, group = np.unique(-scores, return_inverse=True)
    means = np.bincount(group, weights=failures) / np.bincount(group)
    return np.cumsum(means[np.sort(group)]) / failures.sum()


def area(failures: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Area under the curve of `found` over the share of results looked at: 0.5 for a random order."""
    curve = np.concatenate([[0.0], found(failures, scores)])
    return float((curve[1:] + curve[:-1]).mean() / 2)


def area_interval(
    failures: NDArray[np.bool_],
    scores: NDArray[np.float64],
    hosts: Sequence[str],
    less: NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """Bootstrap interval (95 %, percentiles) of `area`, or of its difference to another score; hosts are drawn."""
    rng, names = np.random.default_rng(0), np.asarray(hosts)
    groups = [np.flatnonzero(names == name) for name in sorted(set(hosts))]
    areas = []
    for _ in range(_DRAWS):
        some = np.concatenate([groups[n] for n in rng.integers(len(groups), size=len(groups))])
        if failures[some].any():
            other = 0.0 if less is None else area(failures[some], less[some])
            areas.append(area(failures[some], scores[some]) - other)
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)
