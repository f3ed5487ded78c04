"""Agreement of a probability map with a mask, over all thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PrecisionRecall", "average_precision", "precision_recall"]


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """One point for each distinct value of the map, from the highest down."""

    threshold: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def precision_recall(truth: NDArray[np.bool_], prob: NDArray[np.floating]) -> PrecisionRecall:
    """The curve; `truth` marks at least one voxel."""
    values, inverse = np.unique(prob.ravel(), return_inverse=True)
    positive = np.bincount(inverse, weights=truth.ravel(), minlength=len(values))[::-1].cumsum()
    called = np.bincount(inverse, minlength=len(values))[::-1].cumsum()
    return PrecisionRecall(values[::-1].astype(np.float64), positive / called, positive / positive[-1])


def average_precision(truth: NDArray[np.bool_], prob: NDArray[np.floating]) -> float:
    """Area under the precision-recall curve, as steps: the sum of (recall gained) x (precision there).

    With an empty truth: 1 if the map says the same everywhere, else 0.

    Args:
        truth: any shape.
        prob: the same shape; finite.
    """
    if not truth.any():
        return 1.0 if float(prob.min()) == float(prob.max()) else 0.0
    low = float(prob.min())
    rest = prob > low  # most voxels of a map hold its lowest value; they make one last step
    inside, outside = int(truth[rest].sum()), int(truth[~rest].sum())
    total = inside + outside
    area = 0.0
    if inside:
        curve = precision_recall(truth[rest], prob[rest])
        gained = np.diff(curve.recall, prepend=0.0) * inside / total
        area = float((gained * curve.precision).sum())
    return area + outside / total * (total / truth.size)
