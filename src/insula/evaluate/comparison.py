"""Compares sets of predictions case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from insula.evaluate.presets import METRICS
from insula.evaluate.score import CaseScore
from insula.stats import Difference, difference_of, holm

__all__ = ["HOPED", "Comparison", "compare"]

HOPED = 0.02
"""Relevant difference in Dice: two points."""
_MOST_MOVED = 10


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric compared between two sets of predictions of the same cases."""

    metric: str
    first: str
    second: str
    primary: bool
    """Whether this is the primary metric; the others have no p value."""
    n: int
    """Cases in which the metric is defined for both sets."""
    difference: Difference | None
    """Second minus first; None if the metric is defined in no common case."""
    better: int
    """Cases in which the second set is better."""
    worse: int
    p_holm: float | None
    """p value of the primary metric after Holm's correction over the pairs of sets; None for the others."""
    moved: tuple[tuple[str, float], ...]
    """Cases that changed most, and by how much."""


def compare(
    sets: Mapping[str, Sequence[CaseScore]], metrics: Sequence[str], *, primary: str = "dice", hoped: float = HOPED
) -> list[Comparison]:
    """Compare every pair of prediction sets; only the primary metric is tested, the others are descriptive.

    Lesion metrics are compared only on cases with a lesion.

    Args:
        sets: name -> scores of the same cases.
        metrics: keys of the metrics to compare, including the primary one.
        primary: the metric that is tested.
        hoped: relevant difference of the primary metric, for which the power is computed.

    Returns:
        One comparison per pair and metric, the primary metric first; empty for a single set.
    """
    comparisons = [
        _compare(sets, first, second, metric, primary, hoped)
        for first, second in combinations(sets, 2)
        for metric in sorted(metrics, key=lambda metric: metric != primary)
    ]
    tested = [
        (n, comparison.difference.p)
        for n, comparison in enumerate(comparisons)
        if comparison.primary and comparison.difference is not None
    ]
    known = [(n, p) for n, p in tested if p is not None]
    for (n, _), corrected in zip(known, holm([p for _, p in known]), strict=True):
        comparisons[n] = replace(comparisons[n], p_holm=corrected)
    return comparisons


def _compare(
    sets: Mapping[str, Sequence[CaseScore]], first: str, second: str, metric: str, primary: str, hoped: float
) -> Comparison:
    before, after = (
        {score.case: score for score in sets[name] if METRICS[metric].is_of(score.truth_voxels)}
        for name in (first, second)
    )
    change: dict[str, float] = {}
    for case in before:
        a, b = before[case].metrics[metric], after[case].metrics[metric] if case in after else None
        if a is not None and b is not None:
            change[case] = float(b) - float(a)
    sign = 1 if METRICS[metric].better == "high" else -1
    moved = sorted(change.items(), key=lambda item: (-abs(item[1]), item[0]))[:_MOST_MOVED]
    values, centres = list(change.values()), [before[case].centre for case in change]
    difference = difference_of(values, centres, hoped=hoped, reach=METRICS[metric].most) if values else None
    if difference is not None and metric != primary:
        difference = replace(difference, p=None, power=None, least=None)
    return Comparison(
        metric=metric,
        first=first,
        second=second,
        primary=metric == primary,
        n=len(values),
        difference=difference,
        better=sum(sign * value > 0 for value in values),
        worse=sum(sign * value < 0 for value in values),
        p_holm=None,
        moved=tuple((case, round(by, 6)) for case, by in moved if by),
    )
