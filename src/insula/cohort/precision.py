"""Estimates how precise the test scores of a split will be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import t as student

from insula.cohort.check import CheckedCohort
from insula.cohort.deal import strata_of
from insula.cohort.examination import CheckedCase
from insula.cohort.split import Split
from insula.stats.interval import LEAST_CASES, LEAST_CENTRES, freedom_of

__all__ = ["describe", "half_width"]

_DICE_SD = 0.27  # between cases; nnU-Net on ATLAS R2.0, five-fold, n = 655 (arXiv 2211.15486)
_ICC = 0.1  # intraclass correlation of Dice within centres, assumed
_FEWEST_CASES = 10
_OFF_TARGET = 0.25
_COMMON = 0.05  # share of the cases from which on a stratum must not be missing


def describe(checked: CheckedCohort, split: Split, *, share: float) -> list[str]:
    """Describe a split for readers of its scores: one line per fold, each followed by its warnings.

    Args:
        checked: the cohort.
        split: a split of it; the inner folds are not described.
        share: the wanted share of cases in each test part.
    """
    known = {case.case: case for case in checked.cases}
    lines = []
    for number, fold in enumerate(split.folds):
        train, test = ([known[name] for name in side] for side in (fold.train, fold.test))
        sizes = list(Counter(case.centre for case in test).values())
        leaked = {case.centre for case in train} & {case.centre for case in test}
        lines.append(
            f"fold {number}: {len(train)} train, {len(test)} test from {_count(len(sizes), 'centre')}; "
            f"{len(leaked)} centres on both sides; a mean Dice over this test part carries {_interval(sizes)}"
        )
        lines += [f"warning: fold {number}: {text}" for text in _warnings(train, test, share)]
    return lines


def half_width(sizes: Sequence[int], *, icc: float) -> float | None:
    """Return the half-width of the 95 % interval of a mean Dice [points], by Student's t.

    Args:
        sizes: number of test cases of each centre.
        icc: intraclass correlation of Dice within centres. At 0 cases are independent, with n - 1 degrees of freedom.
            Above 0 the variance grows by 1 + icc (sum n_c^2 / n - 1), with the degrees of freedom of `insula evaluate`.

    Returns:
        None where `insula evaluate` gives no interval: under 5 cases, or too few centres with `icc` above 0.

    Source:
        Kish 1965, Survey Sampling, section 5.4 (design effect, unequal clusters).
    """
    n = sum(sizes)
    if n < LEAST_CASES or (icc > 0 and len(sizes) < LEAST_CENTRES):
        return None
    effect = 1 + icc * (sum(size * size for size in sizes) / n - 1)
    freedom = freedom_of(np.array(sizes, float)) if icc > 0 else n - 1
    return 100 * float(student.ppf(0.975, freedom)) * _DICE_SD * math.sqrt(effect / n)


def _interval(sizes: Sequence[int]) -> str:
    alike, apart = half_width(sizes, icc=0), half_width(sizes, icc=_ICC)
    if alike is None:
        return "no interval: it has too few cases"
    text = f"about +-{alike:.1f} points (95 %) if centres were alike"
    if apart is None:
        return f"{text}; over {_count(len(sizes), 'centre')} no interval can be given"
    return f"{text}, +-{apart:.1f} at an intraclass correlation of {_ICC:g}"


def _warnings(train: Sequence[CheckedCase], test: Sequence[CheckedCase], share: float) -> Iterable[str]:
    everyone = [*train, *test]
    target = share * len(everyone)
    if abs(len(test) - target) > _OFF_TARGET * target:
        yield f"the test part has {_count(len(test), 'case')} where {target:.0f} were wanted"
    if len(test) < _FEWEST_CASES:
        yield f"{_count(len(test), 'case')} in the test part cannot tell one model from another"
    cases = Counter(stratum for case in everyone for stratum in strata_of(case))
    for side, part in (("test", test), ("training", train)):
        present = {stratum for case in part for stratum in strata_of(case)}
        lacking = [
            f"{stratum} ({count / len(everyone):.0%} of the cases)"
            for stratum, count in sorted(cases.items())
            if stratum not in present and count >= _COMMON * len(everyone)
        ]
        if lacking:
            yield f"the {side} part lacks {', '.join(lacking)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
