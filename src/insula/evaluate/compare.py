"""Which of several predictions is better, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from insula.evaluate.presets import METRICS
from insula.evaluate.score import CaseScore

__all__ = ["Comparison", "compare", "holm"]

_MOST_MOVED = 10


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric, two sets of predictions, the same cases."""

    metric: str
    first: str
    second: str
    n: int
    """Cases in which both are defined."""
    difference: float
    """Mean of second minus first."""
    better: int
    """Cases in which the second is better."""
    worse: int
    p: float | None
    """Wilcoxon signed-rank test, two-sided; None where the metric is defined in no common case."""
    p_holm: float | None
    """The same after Holm's correction over all comparisons that could be made."""
    moved: tuple[tuple[str, float], ...]
    """The cases that changed most, and by how much."""


def compare(sets: Mapping[str, Sequence[CaseScore]], metrics: Sequence[str]) -> list[Comparison]:
    """Every pair of prediction sets on every metric.

    Args:
        sets: name -> scores of the same cases.
        metrics: keys to compare on.

    Source:
        Wilcoxon 1945, Biometrics Bulletin 1:80; Holm 1979, Scand. J. Statist. 6:65.
    """
    from scipy.stats import wilcoxon

    found = []
    for first, second in combinations(sets, 2):
        before, after = ({score.case: score.metrics for score in sets[name]} for name in (first, second))
        for metric in metrics:
            change = {
                case: float(b) - float(a)
                for case in before
                if case in after and (a := before[case][metric]) is not None and (b := after[case][metric]) is not None
            }
            values = np.array(list(change.values()))
            p = None if not len(values) else float(wilcoxon(values).pvalue) if np.any(values) else 1.0
            sign = 1 if METRICS[metric].better == "high" else -1
            moved = sorted(change.items(), key=lambda item: (-abs(item[1]), item[0]))[:_MOST_MOVED]
            found.append(
                Comparison(
                    metric=metric, first=first, second=second, n=len(values), difference=float(values.mean()) if len(values) else 0.0,
                    better=int((sign * values > 0).sum()), worse=int((sign * values < 0).sum()), p=p, p_holm=p,
                    moved=tuple((case, round(by, 6)) for case, by in moved if by),
                )
            )  # fmt: skip
    corrected = iter(holm([one.p for one in found if one.p is not None]))
    return [one if one.p is None else replace(one, p_holm=next(corrected)) for one in found]


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the smallest of m times m, the next times m - 1, never falling, at most 1."""
    order = np.argsort(values, kind="stable")
    out, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, values[place] * (len(values) - rank)))
        out[int(place)] = least
    return out
