"""Uncertainty of a case's volume and of each lesion, calibrated on validation cases."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from insula.config import Calibration

__all__ = [
    "ALWAYS_KEPT_ML",
    "SMALL_ML",
    "SPREAD",
    "kept_by_chance",
    "lesion_confidence",
    "mean_logits",
    "volume_doubt",
    "volume_interval",
]

SPREAD = (0.2, 0.8)
"""Calibrated probabilities whose volumes show how much a case's volume depends on the threshold."""
SMALL_ML = 1.0
"""Masks under this volume have their own interval [ml]."""
ALWAYS_KEPT_ML = 10.0
"""Lesions from this volume on are kept whatever their probability of being real [ml]: a calibration has seen too few of
them to say that a faint outline of a whole territory is false."""
_LEAST_DOUBT = 0.5
_LOGIT_END = 15.0  # beyond it a float32 probability has no digits left


def volume_doubt(wide_ml: float, narrow_ml: float) -> float:
    """Returns the unit of a case's volume interval: the difference of its log volumes at both ends of `SPREAD`.

    Args:
        wide_ml: volume at the lower probability [ml].
        narrow_ml: volume at the higher probability [ml].
    """
    return math.log1p(wide_ml) - math.log1p(narrow_ml) + _LEAST_DOUBT


def volume_interval(volume_ml: float, doubt: float, calibration: Calibration) -> tuple[float, float] | None:
    """Returns the interval of the true volume [ml], at the calibration's level; None without a calibration.

    Split-conformal, separately for masks under 1 ml and for larger ones: a nearly empty mask may have missed a lesion
    altogether, which says nothing about a mask that outlines a territory. The interval is valid for new cases like the
    validation cases, not for others. Adding 1 ml before taking logs gives an empty mask an interval too.

    Args:
        volume_ml: of the mask [ml].
        doubt: from `volume_doubt`.
        calibration: with its `volume`.

    Source:
        Lei 2018, Distribution-free predictive inference for regression, JASA 113:1094, section 5.2; groups as in
        Vovk 2012, Conditional validity of inductive conformal predictors, arXiv 1209.2673.
    """
    sides = calibration.volume
    if volume_ml < SMALL_ML and calibration.volume_small is not None:
        sides = calibration.volume_small
    if sides is None:
        return None
    low, high = (math.log1p(volume_ml) + side * doubt for side in sides)
    return max(0.0, math.expm1(low)), max(0.0, math.expm1(high))


def lesion_confidence(
    mean_logit: NDArray[np.floating], volume_ml: NDArray[np.floating], fit: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Returns the probability of each predicted lesion, 0 to 1 (n,), that it touches a true one.

    Args:
        mean_logit: mean of each one's voxels' logits, each clipped to +-15 (n,).
        volume_ml: volume of each [ml] (n,).
        fit: a logistic regression on such logits: constant, by logit, by log volume; `lesion` of a calibration.
    """
    constant, by_logit, by_volume = fit
    logit = constant + by_logit * mean_logit + by_volume * np.log(volume_ml)
    return 1 / (1 + np.exp(-np.clip(logit, -50, 50)))


def kept_by_chance(
    chance: NDArray[np.floating], volume_ml: NDArray[np.floating], least_chance: float
) -> NDArray[np.bool_]:
    """Returns which lesions stay: those likely enough to be real, and those from `ALWAYS_KEPT_ML` on.

    Args:
        chance: probability of each to be real, 0 to 1 (n,).
        volume_ml: volume of each [ml] (n,).
        least_chance: of the calibration, 0 to 1.
    """
    return (chance >= least_chance) | (volume_ml >= ALWAYS_KEPT_ML)


def mean_logits(prob: NDArray[np.floating], labels: NDArray[np.uint32], count: int) -> NDArray[np.float64]:
    """Returns the mean logit of each labelled component, single voxels clipped to +-15.

    Args:
        prob: 0 to 1, any shape.
        labels: of the same shape; 1 to `count`, each in use, 0 elsewhere.
        count: number of components.
    """
    inside = labels > 0
    component, values = labels[inside], np.clip(prob[inside].astype(np.float64), 0, 1)
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(values) - np.log1p(-values), -_LOGIT_END, _LOGIT_END)
    sums, voxels = (np.bincount(component, weights=weights, minlength=count + 1)[1:] for weights in (logits, None))
    return sums / voxels
