"""Decides from cases that were left out whether adapted weights are better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insula.evaluate.comparison import HOPED
from insula.stats import Difference, Interval, difference_of, mean_interval

__all__ = ["CaseChange", "Decision", "OldTest", "decide"]

_MORE_ML = 0.1


@dataclass(frozen=True, kw_only=True)
class CaseChange:
    """One case, segmented by the weights as they were and by weights adapted to other subjects."""

    case: str
    subject: str
    truth_ml: float
    before: float
    """Dice of the weights as they were."""
    after: float
    """Dice of the weights adapted without this subject."""
    before_ml: float
    after_ml: float


@dataclass(frozen=True, kw_only=True)
class OldTest:
    """Simulated heads that neither the weights nor the adaptation were trained on."""

    heads: int
    """Number of heads."""
    before: float
    """Mean Dice of heads with a lesion, of the weights as they were."""
    after: float
    """The same of the adapted weights."""
    false_ml_before: float = 0.0
    """Mean volume found in heads without a lesion [ml]."""
    false_ml_after: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the adapted weights lose at most two points of Dice, and find at most 0.1 ml more in free heads."""
        return self.after >= self.before - HOPED and self.false_ml_after <= self.false_ml_before + _MORE_ML


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the left-out cases say."""

    before: Interval
    """Mean Dice of the weights as they were."""
    after: Interval
    """Mean Dice of adapted weights on cases that they were not adapted to."""
    difference: Difference
    """After minus before, paired."""

    @property
    def gained(self) -> bool:
        """Whether the whole 95 % interval of the difference lies above zero."""
        return self.difference.mean.low is not None and self.difference.mean.low > 0

    @property
    def lost(self) -> bool:
        """Whether the whole 95 % interval of the difference lies below zero."""
        return self.difference.mean.high is not None and self.difference.mean.high < 0


def decide(changes: Sequence[CaseChange]) -> Decision:
    """Compare the weights as they were with adapted weights, case by case.

    Cases of one subject count as a cluster; the subjects are taken as independent, and all as of one hospital.

    Args:
        changes: every case once, each from the fold that left it out.
    """
    subjects = [change.subject for change in changes]
    clusters = subjects if len(set(subjects)) < len(subjects) else None
    before, after = [change.before for change in changes], [change.after for change in changes]
    return Decision(
        before=mean_interval(before, clusters, least=0, most=1),
        after=mean_interval(after, clusters, least=0, most=1),
        difference=difference_of([b - a for a, b in zip(before, after, strict=True)], clusters, hoped=HOPED, reach=1),
    )
