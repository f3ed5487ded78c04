"""Which results of a study a person should look at first: a score from 0 to 1, and its reasons."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from insula.predict.record import CaseRecord, ResultRecord

__all__ = ["ReviewScore", "review_score"]

_LEAST_REASON = 0.05
"""Signals that add less than this to the score are no reason to look."""


@dataclass(frozen=True)
class ReviewScore:
    """How much a result needs a look, and why."""

    score: float
    """0 to 1; the highest first. An order, not a probability."""
    reasons: tuple[str, ...]
    """Short phrases, strongest first; empty if nothing is unusual."""


class _Signal(NamedTuple):
    """Something in a record that raises the score."""

    weight: float
    """Score of a result with this signal alone, at full strength."""
    reason: str
    strength: Callable[[ResultRecord], float]
    """0 to 1."""


def review_score(record: CaseRecord) -> ReviewScore:
    """Returns the review score of a case, from its record alone.

    Each signal is taken as an independent chance that the result is wrong: the score is 1 minus the product of
    1 - weight x strength. A refused case has 1; a mask that a person corrected has 0.

    Args:
        record: of a result or of a refusal; also one of an earlier version.
    """
    if record["outcome"] == "refused":
        return ReviewScore(1.0, ("refused",))
    if record.get("correction") is not None:
        return ReviewScore(0.0, ("corrected by a person",))
    shares = sorted(((signal.weight * signal.strength(record), signal.reason) for signal in _SIGNALS), reverse=True)
    score = 1 - math.prod(1 - share for share, _ in shares)
    return ReviewScore(score, tuple(reason for share, reason in shares if share >= _LEAST_REASON))


def _flagged(*codes: str) -> Callable[[ResultRecord], float]:
    return lambda record: float(any(flag["code"] in codes for flag in record["flags"]))


def _ramp(value: float, none: float, full: float) -> float:
    """Returns 0 up to `none`, 1 from `full` on, linear in between."""
    return min(1.0, max(0.0, (value - none) / (full - none)))


def _unlikely(record: ResultRecord) -> float:
    mean = record["confidence"]["mean_probability"]
    return 0.0 if mean is None else _ramp(mean, 0.75, 0.5)


def _small(record: ResultRecord) -> float:
    return _ramp(math.log(record["volume_ml"]), math.log(16), math.log(2)) if record["volume_ml"] else 0.0


def _empty(record: ResultRecord) -> float:
    """Returns more for an empty mask where the highest probability is nearer to the threshold."""
    if record["volume_ml"]:
        return 0.0
    return 0.7 + 0.3 * _ramp(record["confidence"]["peak_probability"], 0.0, record["threshold"])


def _huge(record: ResultRecord) -> float:
    share = (record.get("brain") or {}).get("lesion_share")
    return _ramp(share or 0.0, 0.2, 0.4)


def _odd_brain(record: ResultRecord) -> float:
    volume_ml = (record.get("brain") or {}).get("volume_ml")
    return _ramp(abs(math.log(max(volume_ml, 1.0) / 1150)), 0.65, 0.95) if volume_ml is not None else 0.0


def _unsteady(record: ResultRecord) -> float:
    volumes_ml = record["confidence"]["volume_ml_at_threshold"]
    return _ramp(math.log((volumes_ml["0.1"] + 0.5) / (volumes_ml["0.7"] + 0.5)), 0.5, 1.5)


# Chosen on the validation part of `python -m studies.review`, where 20 of 58 results failed; "n of m" is how many of
# the results with a signal failed.
_SIGNALS = (
    # 3 of 3; the weights were trained on T1w scans only
    _Signal(0.8, "contrast unlike T1w", _flagged("contrast-assumed", "contrast-inverted")),
    # 3 of 3; few infarcts take more than a fifth of the brain
    _Signal(0.8, "lesion fills much of the brain", _huge),
    # 3 of 6; a wrong voxel size or a wrong outline, and then every volume is wrong
    _Signal(0.7, "brain volume implausible", _odd_brain),
    # 5 of 10; in a study of strokes most scans have a lesion
    _Signal(0.5, "no lesion found", _empty),
    # 12 of 21
    _Signal(0.5, "low probability", _unlikely),
    # 11 of 19; a few voxels at the border cost much of the Dice
    _Signal(0.4, "small lesion", _small),
    # no gain that 58 results could show; the volume is uncertain even if the Dice is good
    _Signal(0.3, "volume depends on the threshold", _unsteady),
    # 2 of 2, both of another contrast; heads with planted motion were not flagged
    _Signal(0.3, "motion", _flagged("motion")),
    # none was flagged; taken to be like motion
    _Signal(0.3, "noise", _flagged("low-signal")),
    # 3 of 3, all of another contrast; part of the lesion may be missing
    _Signal(0.3, "lesion at the edge of the box", _flagged("lesion-at-box-rim")),
    # 6 of 15, hardly more than of all
    _Signal(0.1, "head cut by the field of view", _flagged("field-of-view-cut")),
    # 0 of 2
    _Signal(0.1, "thick slices", _flagged("thick-slices")),
)
"""The signals, with the reason for each weight."""
