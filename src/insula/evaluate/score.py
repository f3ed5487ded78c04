"""One case, all its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from insula.cohort import read_lesion
from insula.errors import BadData
from insula.evaluate.pairing import Pair
from insula.evaluate.presets import METRICS
from insula.io import read_values
from insula.metrics import average_precision, cc_dice, dice_score, match_lesions, surface_distances
from insula.volume import Mask

__all__ = ["PROB_BINS", "CaseScore", "score_masks", "score_pair"]

PROB_BINS = 1000
"""Bins of equal width in which a map's values are counted."""
_SURFACE = {"hd95_mm", "assd_mm", "surface_dice_2mm"}


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """How good one prediction is; plain data."""

    case: str
    centre: str = "unknown"
    chronicity: str = "unknown"
    truth_voxels: int
    truth_ml: float
    predicted_ml: float
    metrics: dict[str, float | None]
    """None where a metric is undefined."""
    true_lesions: tuple[tuple[int, bool, bool], ...]
    """(voxels, touched by a prediction, paired at IoU 0.25) of each."""
    predicted_lesions: tuple[tuple[int, bool], ...]
    """(voxels, touches a true lesion) of each."""
    prob_all: NDArray[np.int64] | None = field(default=None, repr=False, compare=False)
    """Voxels per bin of probability; None without a map."""
    prob_lesion: NDArray[np.int64] | None = field(default=None, repr=False, compare=False)
    """And those of them that are lesion."""


def score_masks(
    truth: Mask, predicted: Mask, prob: Float[np.ndarray, "i j k"] | None = None, *, metrics: Sequence[str] = tuple(METRICS),
    case: str = "case", centre: str = "unknown", chronicity: str = "unknown",
) -> CaseScore:  # fmt: skip
    """Score a prediction.

    Args:
        truth: the expert's mask.
        predicted: on the same grid (within 1e-3 mm).
        prob: the soft map on the same voxels, for PR-AUC and calibration.
        metrics: keys of `METRICS`; the costly ones are only computed when named.
        case: its name.
        centre: where it was scanned.
        chronicity: when.

    Raises:
        BadData: the grids differ, or the map is not finite.
    """
    if not truth.grid.close_to(predicted.grid):
        raise BadData(
            f"the prediction of {case}", f"({predicted.grid.shape}, {predicted.grid.axcodes})",
            f"does not lie on the truth's grid ({truth.grid.shape}, {truth.grid.axcodes})", "write predictions on the scan's own grid",
        )  # fmt: skip
    if prob is not None and (prob.shape != truth.grid.shape or not np.isfinite(prob).all()):
        raise BadData(
            f"the map of {case}",
            f"of shape {prob.shape}",
            "is not finite or not on the truth's grid",
            "write it on the scan's own grid",
        )
    one, two = truth.voxels, predicted.voxels
    match = match_lesions(one, two)
    values: dict[str, float | None] = {
        "dice": dice_score(one, two),
        "f1_any": match.f1_any,
        "f1_iou25": match.recognition_quality,
        "volume_difference_ml": abs(truth.volume_ml - predicted.volume_ml),
        "volume_difference_voxels": float(abs(int(one.sum()) - int(two.sum()))),
        "count_difference": float(abs(match.count_difference)),
    }
    if _SURFACE & set(metrics):
        surface = surface_distances(one, two, truth.grid.spacing_mm)
        values |= {"hd95_mm": surface.hd95, "assd_mm": surface.assd, "surface_dice_2mm": surface.surface_dice(2.0)}
    if "cc_dice" in metrics:
        values["cc_dice"] = cc_dice(one, two)
    if "pr_auc" in metrics:
        values["pr_auc"] = None if prob is None else average_precision(one, prob)
    paired = {pair[0] for pair in match.pairs}
    counts = (None, None) if prob is None else _count(prob, one)
    return CaseScore(
        case=case, centre=centre, chronicity=chronicity, truth_voxels=int(one.sum()), truth_ml=truth.volume_ml,
        predicted_ml=predicted.volume_ml, metrics={key: values[key] for key in metrics},
        true_lesions=tuple(
            (int(size), bool(touched), number in paired)
            for number, (size, touched) in enumerate(zip(match.truth_sizes, match.truth_touched, strict=True))
        ),
        predicted_lesions=tuple(
            (int(size), bool(touched)) for size, touched in zip(match.predicted_sizes, match.predicted_touched, strict=True)
        ),
        prob_all=counts[0], prob_lesion=counts[1],
    )  # fmt: skip


def score_pair(pair: Pair, metrics: Sequence[str]) -> CaseScore:
    """Read a pair's files and score them.

    Raises:
        BadData, NoInput: a file cannot be read, or the grids differ.
    """
    truth, predicted = read_lesion(pair.truth), read_lesion(pair.mask)
    prob = None
    if pair.prob is not None:
        prob, grid = read_values(pair.prob)
        if not grid.close_to(truth.grid):
            raise BadData(
                f"the map of {pair.case}",
                f"({grid.shape})",
                "does not lie on the truth's grid",
                "write it on the scan's own grid",
            )
    return score_masks(
        Mask(truth.voxels, truth.grid), Mask(predicted.voxels, predicted.grid), prob, metrics=metrics, case=pair.case,
        centre=pair.centre, chronicity=pair.chronicity,
    )  # fmt: skip


def _count(prob: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    bins = np.clip((prob * PROB_BINS).astype(np.int32), 0, PROB_BINS - 1)
    every = np.bincount(bins.ravel(), minlength=PROB_BINS)
    return every.astype(np.int64), np.bincount(bins[truth], minlength=PROB_BINS).astype(np.int64)
