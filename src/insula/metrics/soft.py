"""Agreement of a probability map with a mask, over all thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insula.config import Scaling

__all__ = ["LOGITS", "LogitCounts", "PrecisionRecall", "average_precision", "count_logits", "precision_recall"]

_END, _STEP = 30.0, 0.02
LOGITS: NDArray[np.float64] = np.linspace(-_END, _END, round(2 * _END / _STEP) + 1)
"""Centres of the bins in which maps are counted; the first and the last bin also hold what lies beyond."""


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision-recall curve with one point for each distinct value of the map, from the highest down."""

    threshold: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LogitCounts:
    """Histograms of a map and of its lesion voxels over `LOGITS`; they can be added over cases."""

    every: NDArray[np.int64]
    """Voxels in each bin."""
    lesion: NDArray[np.int64]
    """Lesion voxels in each bin."""

    def __add__(self, other: LogitCounts) -> LogitCounts:
        return LogitCounts(self.every + other.every, self.lesion + other.lesion)

    def voxels_above(self, prob: float, *, scaling: Scaling = Scaling()) -> int:
        """Count the voxels whose probability is at or above `prob` once their logits are scaled."""
        return int(self.every[scaling.undo(np.log(prob / (1 - prob))) - _STEP / 2 <= LOGITS].sum())


def count_logits(truth: NDArray[np.bool_], prob: NDArray[np.floating]) -> LogitCounts:
    """Count a map's voxels by their logit, in steps of 0.02 from -30 to 30.

    Args:
        truth: any shape.
        prob: the same shape; 0 to 1.
    """
    lowest = 1 / (1 + np.exp(_END))
    above_lowest = prob > lowest  # most of a volume is air, where the map is 0
    every, lesion = _count(prob[above_lowest]), _count(prob[above_lowest & truth])
    every[0] += prob.size - int(every.sum())
    lesion[0] += int(truth.sum()) - int(lesion.sum())
    return LogitCounts(every, lesion)


def _count(probs: NDArray[np.floating]) -> NDArray[np.int64]:
    """Count the values in each bin; each distinct value is looked up once, and saved maps have few."""
    kinds, times = np.unique(probs, return_counts=True)
    values = np.clip(kinds.astype(np.float64), 0, 1)  # a map may exceed 1 by a float32's rounding
    with np.errstate(divide="ignore"):
        logits = np.log(values) - np.log1p(-values)
    bins = np.round((np.clip(logits, -_END, _END) + _END) / _STEP).astype(np.int64)
    return np.bincount(bins, weights=times, minlength=len(LOGITS)).astype(np.int64)


def precision_recall(truth: NDArray[np.bool_], prob: NDArray[np.floating]) -> PrecisionRecall:
    """Return the precision-recall curve; `truth` must mark at least one voxel."""
    values, times = np.unique(prob, return_counts=True)
    held, lesion = np.unique(prob[truth], return_counts=True)
    hits = np.zeros(len(values), np.int64)
    hits[np.searchsorted(values, held)] = lesion
    positive, called = hits[::-1].cumsum(), times[::-1].cumsum()
    return PrecisionRecall(values[::-1].astype(np.float64), positive / called, positive / positive[-1])


def average_precision(truth: NDArray[np.bool_], prob: NDArray[np.floating]) -> float:
    """Return the area under the precision-recall curve, as steps: the sum of (recall gained) x (precision there).

    With an empty truth: 1 if the map is constant, else 0.

    Args:
        truth: any shape.
        prob: the same shape; finite.
    """
    if not truth.any():
        return 1.0 if float(prob.min()) == float(prob.max()) else 0.0
    low = float(prob.min())
    rest = prob > low  # most voxels of a map hold its lowest value and form the last step
    inside, outside = int(truth[rest].sum()), int(truth[~rest].sum())
    total = inside + outside
    area = 0.0
    if inside:
        curve = precision_recall(truth[rest], prob[rest])
        gained = np.diff(curve.recall, prepend=0.0) * inside / total
        area = float((gained * curve.precision).sum())
    return area + outside / total * (total / truth.size)
