"""Consensus of several raters' masks: STAPLE, and the vote of the majority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from insula.errors import Unavailable

__all__ = ["Staple", "majority_vote", "staple"]

_MOST_ITERATIONS = 10_000
_TIE = 1e-9  # voxels this close to 0.5 are undecided, whatever the rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Staple:
    """What STAPLE estimates from several masks."""

    prob: Float[np.ndarray, "i j k"]
    """Probability that a voxel is lesion, float64."""
    sensitivity: tuple[float | None, ...]
    """Sensitivity of each rater, 0 to 1; None if no rater marked any voxel."""
    specificity: tuple[float | None, ...]
    """Specificity of each rater over the whole volume, 0 to 1; None if all raters marked every voxel."""

    @property
    def mask(self) -> Bool[np.ndarray, "i j k"]:
        """The voxels that are more likely lesion than not."""
        return self.prob > 0.5 + _TIE


def majority_vote(masks: Sequence[Bool[np.ndarray, "i j k"]]) -> Bool[np.ndarray, "i j k"]:
    """Return the voxels that more than half of the raters marked; a tie is no lesion.

    Args:
        masks: one of each rater.

    Raises:
        ValueError: there is no mask, or their shapes differ.
    """
    _check(masks)
    votes = np.zeros(masks[0].shape, np.uint16)
    for mask in masks:
        votes += mask
    return votes > len(masks) // 2


def staple(masks: Sequence[Bool[np.ndarray, "i j k"]]) -> Staple:
    """Estimate the true mask, and each rater's sensitivity and specificity, from the raters' masks alone.

    The estimate weighs each rater by how well the mask agrees with those of the others. The prior of lesion is the mean
    share of marked voxels, the same everywhere.

    Args:
        masks: one of each rater.

    Returns:
        The estimate. If all masks are empty, so is the estimate.

    Raises:
        ValueError: there is no mask, or their shapes differ.
        Unavailable: SimpleITK is not installed.

    Source:
        Warfield, S. K., Zou, K. H., Wells, W. M. (2004). Simultaneous truth and performance level estimation (STAPLE).
        IEEE Transactions on Medical Imaging, 23, 903-921.
    """
    _check(masks)
    try:
        import SimpleITK
    except ImportError:
        remedy = "run: pip install 'insula[consensus]', or use `method=majority`"
        raise Unavailable("STAPLE", "", "needs SimpleITK, which is not installed", remedy) from None
    if len(set(marked := [bool(mask.any()) for mask in masks])) == 1 and (not marked[0] or all(m.all() for m in masks)):
        certain = np.full(masks[0].shape, float(marked[0]))
        first, second = (1.0, None) if marked[0] else (None, 1.0)
        return Staple(prob=certain, sensitivity=(first,) * len(masks), specificity=(second,) * len(masks))
    images = [SimpleITK.GetImageFromArray(np.ascontiguousarray(mask, np.uint8)) for mask in masks]
    estimate = SimpleITK.STAPLEImageFilter()
    estimate.SetForegroundValue(1)
    estimate.SetMaximumIterations(_MOST_ITERATIONS)
    prob = SimpleITK.GetArrayFromImage(estimate.Execute(images))
    return Staple(prob=prob, sensitivity=estimate.GetSensitivity(), specificity=estimate.GetSpecificity())


def _check(masks: Sequence[NDArray[np.bool_]]) -> None:
    if len({mask.shape for mask in masks}) != 1:
        raise ValueError(f"a consensus needs masks of one shape, not of {[mask.shape for mask in masks]}")
