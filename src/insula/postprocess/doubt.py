"""How sure a volume and a lesion are, by what a validation part has taught."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from insula.config import Calibration

__all__ = ["SMALL_ML", "SPREAD", "lesion_confidence", "mean_logits", "volume_doubt", "volume_interval"]

SPREAD = (0.2, 0.8)
"""The volumes at these calibrated probabilities tell how much a case's volume depends on the threshold."""
SMALL_ML = 1.0
"""Masks under this volume have an interval of their own."""
_LEAST_DOUBT = 0.5
_LOGIT_END = 15.0  # where a probability in float32 has no digits left


def volume_doubt(wide_ml: float, narrow_ml: float) -> float:
    """The unit of a case's volume interval: how far its volumes at both ends of `SPREAD` lie apart, on the log scale.

    Args:
        wide_ml: volume [ml] at the lower probability.
        narrow_ml: and at the higher one.
    """
    return math.log1p(wide_ml) - math.log1p(narrow_ml) + _LEAST_DOUBT


def volume_interval(volume_ml: float, doubt: float, calibration: Calibration) -> tuple[float, float] | None:
    """Where the true volume [ml] lies, at the calibration's level; None without one.

    Split-conformal, within masks under 1 ml and within larger ones: a mask that is nearly empty may have missed a lesion
    altogether, which says nothing of one that outlines a territory. Right for new cases that are like the validation part's,
    wrong for others. Adding 1 ml before taking logs lets the interval of an empty mask be one.

    Args:
        volume_ml: of the mask.
        doubt: from `volume_doubt`.
        calibration: with its `volume`.

    Source:
        Lei 2018, Distribution-free predictive inference for regression, JASA 113:1094, section 5.2; groups as in Vovk 2012,
        Conditional validity of inductive conformal predictors, arXiv 1209.2673.
    """
    sides = calibration.volume
    if volume_ml < SMALL_ML and calibration.volume_small is not None:
        sides = calibration.volume_small
    if sides is None:
        return None
    low, high = (math.log1p(volume_ml) + side * doubt for side in sides)
    return max(0.0, math.expm1(low)), max(0.0, math.expm1(high))


def lesion_confidence(mean_logit: float, volume_ml: float, calibration: Calibration) -> float | None:
    """The probability, 0 to 1, that a predicted lesion touches a true one; None where that was never fitted.

    Args:
        mean_logit: mean of its voxels' calibrated logits, each cut at +-15.
        volume_ml: its volume.
        calibration: with its `lesion`.
    """
    if calibration.lesion is None:
        return None
    constant, by_logit, by_volume = calibration.lesion
    z = constant + by_logit * mean_logit + by_volume * math.log(volume_ml)
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, z))))


def mean_logits(prob: NDArray[np.floating], labels: NDArray[np.uint32], count: int) -> NDArray[np.float64]:
    """The mean logit of each labelled piece, single voxels cut at +-15.

    Args:
        prob: 0 to 1, any shape.
        labels: the same shape; 1 to `count`, each in use, 0 elsewhere.
        count: of pieces.
    """
    inside = labels > 0
    owner, values = labels[inside], np.clip(prob[inside].astype(np.float64), 0, 1)
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(values) - np.log1p(-values), -_LOGIT_END, _LOGIT_END)
    sums, voxels = (np.bincount(owner, weights=w, minlength=count + 1)[1:] for w in (logits, None))
    return sums / voxels
