"""Which of several predictions is better, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from insula.evaluate.presets import METRICS
from insula.evaluate.score import CaseScore
from insula.stats import Difference, difference_of, holm

__all__ = ["HOPED", "Comparison", "compare"]

HOPED = 0.02
"""A difference of Dice that would matter: two points."""
_MOST_MOVED = 10


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric, two sets of predictions, the same cases."""

    metric: str
    first: str
    second: str
    primary: bool
    """Whether this is the metric that decides; of the others no p is given."""
    n: int
    """Cases in which both are defined."""
    difference: Difference | None
    """Second minus first; None where the metric is defined in no common case."""
    better: int
    """Cases in which the second is better."""
    worse: int
    p_holm: float | None
    """The primary metric's p after Holm's correction over the pairs of sets; None for the others."""
    moved: tuple[tuple[str, float], ...]
    """The cases that changed most, and by how much."""


def compare(
    sets: Mapping[str, Sequence[CaseScore]], metrics: Sequence[str], *, primary: str = "dice", hoped: float = HOPED
) -> list[Comparison]:
    """Every pair of prediction sets: one metric decides, the others describe.

    A metric of cases with a lesion is compared on those alone.

    Args:
        sets: name -> scores of the same cases.
        metrics: keys to compare on, the primary one among them.
        primary: the one that gets a p.
        hoped: the difference of the primary metric that would matter; its power is computed.
    """
    found = [
        _compare(sets, first, second, metric, primary, hoped)
        for first, second in combinations(sets, 2)
        for metric in sorted(metrics, key=lambda metric: metric != primary)
    ]
    tested = [(n, one.difference.p) for n, one in enumerate(found) if one.primary and one.difference is not None]
    known = [(n, p) for n, p in tested if p is not None]
    for (n, _), corrected in zip(known, holm([p for _, p in known]), strict=True):
        found[n] = replace(found[n], p_holm=corrected)
    return found


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
