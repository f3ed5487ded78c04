"""Scores one case: computes all its metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from insula.cohort import Entry, hemisphere_of
from insula.errors import BadData, InsulaError
from insula.evaluate.pairing import Pair
from insula.evaluate.presets import METRICS, Preset
from insula.geometry import axes_onto, axis_map, ras_grid, ras_map
from insula.io import SeveralLabels, read_mask, read_scan, read_values
from insula.metrics import (
    LogitCounts,
    average_precision,
    cc_dice,
    count_logits,
    dice_score,
    match_lesions,
    surface_distances,
)
from insula.postprocess import mean_logits
from insula.prepare import find_head
from insula.types import Flag
from insula.volume import Mask

__all__ = ["CaseScore", "PredictedLesion", "TrueLesion", "score_masks", "score_pair", "try_score"]

_SURFACE = {"hd95_mm", "assd_mm", "surface_dice_2mm"}


@dataclass(frozen=True)
class TrueLesion:
    """A 26-connected component of the truth."""

    voxels: int
    touched: bool
    """Whether a prediction overlaps it by at least one voxel."""
    paired: bool
    """Whether it has a one-to-one match with an IoU of at least 0.25."""


@dataclass(frozen=True)
class PredictedLesion:
    """A 26-connected component of the prediction."""

    voxels: int
    volume_ml: float
    touches: bool
    """Whether it overlaps a true lesion by at least one voxel."""
    mean_logit: float | None
    """Mean logit of its voxels, each clipped to +-15; None without a map."""


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """The scores of one prediction, as plain data."""

    case: str
    centre: str = "unknown"
    chronicity: str = "unknown"
    hemisphere: str = "unknown"
    """Side with nine tenths of the true lesion; unknown without a scan."""
    truth_voxels: int
    truth_ml: float
    predicted_ml: float
    metrics: dict[str, float | None]
    """None where a metric is undefined."""
    true_lesions: tuple[TrueLesion, ...]
    predicted_lesions: tuple[PredictedLesion, ...]
    interval_ml: tuple[float, float] | None = None
    """Volume interval from the record of the prediction; None without one."""
    flags: tuple[Flag, ...] = ()
    """Flags from the record of the prediction."""
    reordered: bool = False
    """Whether the prediction was stored in another axis order than the truth and had to be reordered."""
    voxel_ml: float = field(repr=False)
    counts: LogitCounts | None = field(default=None, repr=False, compare=False)
    """Histogram of the map and its truth; None without a map."""


def score_masks(
    truth: Mask,
    predicted: Mask,
    prob: Float[np.ndarray, "i j k"] | None = None,
    *,
    metrics: Sequence[str] = tuple(METRICS),
    controls_apart: bool = True,
    case: str = "case",
) -> CaseScore:
    """Score a prediction.

    Args:
        truth: the expert mask.
        predicted: the predicted mask, on the same grid (to a fiftieth of a voxel).
        prob: the probability map on the same grid, for PR-AUC and calibration.
        metrics: keys of `METRICS`; the costly ones are computed only on request.
        controls_apart: leave lesion metrics undefined for controls, and control metrics undefined for cases with a
            lesion; otherwise each metric follows its own rule for empty masks, as in challenges.
        case: the case name, for messages.

    Raises:
        BadData: the grids differ, or the map is not finite or not between 0 and 1.
    """
    if not truth.grid.close_to(predicted.grid):
        raise BadData(
            f"the prediction of {case}",
            f"({predicted.grid.unlike(truth.grid)})",
            "does not lie on the truth's grid",
            "write predictions on the scan's own grid",
        )
    if prob is not None:
        _check_map(prob, truth, case)
    true_voxels, predicted_voxels = truth.voxels, predicted.voxels
    match = match_lesions(true_voxels, predicted_voxels)
    values: dict[str, float | None] = {
        "dice": dice_score(true_voxels, predicted_voxels),
        "f1_any": match.f1_any,
        "f1_iou25": match.recognition_quality,
        "volume_difference_ml": abs(truth.volume_ml - predicted.volume_ml),
        "volume_difference_voxels": float(abs(int(true_voxels.sum()) - int(predicted_voxels.sum()))),
        "count_difference": float(abs(match.count_difference)),
        "empty": float(not predicted_voxels.any()),
        "false_ml": predicted.volume_ml,
    }
    if _SURFACE & set(metrics):
        surface = surface_distances(true_voxels, predicted_voxels, truth.grid.affine[:3, :3])
        values |= {"hd95_mm": surface.hd95, "assd_mm": surface.assd, "surface_dice_2mm": surface.surface_dice(2.0)}
    if "cc_dice" in metrics:
        values["cc_dice"] = cc_dice(true_voxels, predicted_voxels, truth.grid.affine[:3, :3])
    if "pr_auc" in metrics:
        values["pr_auc"] = None if prob is None else average_precision(true_voxels, prob)
    if controls_apart:
        values = {key: value if METRICS[key].is_of(int(true_voxels.sum())) else None for key, value in values.items()}
    paired = {pair[0] for pair in match.pairs}
    means = None if prob is None else mean_logits(prob, match.predicted_labels, len(match.predicted_sizes))
    voxel_ml = truth.grid.voxel_ml
    return CaseScore(
        case=case,
        truth_voxels=int(true_voxels.sum()),
        truth_ml=truth.volume_ml,
        predicted_ml=predicted.volume_ml,
        voxel_ml=voxel_ml,
        metrics={key: values[key] for key in metrics},
        true_lesions=tuple(
            TrueLesion(int(size), bool(touched), number in paired)
            for number, (size, touched) in enumerate(zip(match.truth_sizes, match.truth_touched, strict=True))
        ),
        predicted_lesions=tuple(
            PredictedLesion(
                int(size), int(size) * voxel_ml, bool(touches), None if means is None else float(means[number])
            )
            for number, (size, touches) in enumerate(zip(match.predicted_sizes, match.predicted_touched, strict=True))
        ),
        counts=None if prob is None else count_logits(true_voxels, prob),
    )


def score_pair(pair: Pair, preset: Preset) -> CaseScore:
    """Read a pair's files and score them by a preset.

    Raises:
        BadData, NoInput: a file cannot be read, or the grids differ; the message names the case and the file.
    """
    entry = pair.entry
    with _naming(f"the truth of {entry.case}"):
        truth = read_mask(entry.mask, label=entry.label)
    with _naming(f"the prediction of {entry.case}"):
        predicted = read_mask(pair.mask)
    prob = None
    if pair.prob is not None:
        with _naming(f"the map of {entry.case}"):
            prob, grid = read_values(pair.prob)
        axes = axes_onto(grid, truth.grid, what=f"the map of {entry.case}", whose="the truth's")
        prob = np.ascontiguousarray(axes.apply(prob))
    in_order = predicted.onto(truth.grid, what=f"the prediction of {entry.case}", whose="the truth's")
    score = score_masks(
        truth,
        in_order,
        prob,
        metrics=preset.metrics,
        controls_apart=preset.controls_apart,
        case=entry.case,
    )
    record = _record(pair.record)
    return replace(
        score,
        flags=_flags(record),
        reordered=in_order is not predicted,
        centre=entry.centre,
        chronicity=entry.chronicity,
        hemisphere=_hemisphere(entry, truth),
        interval_ml=_interval(record),
    )


def try_score(pair: Pair, preset: Preset) -> CaseScore | InsulaError:
    """Call `score_pair`, but return the error of a refused pair instead of raising it, so that all can be reported."""
    try:
        return score_pair(pair, preset)
    except InsulaError as error:
        return error


@contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except InsulaError as error:
        binary = "write predictions as 0 and 1" if what.startswith("the prediction") else None
        raise error.about(what, remedy=binary if isinstance(error, SeveralLabels) else None) from None


def _check_map(prob: NDArray[np.floating], truth: Mask, case: str) -> None:
    low, high = float(prob.min()), float(prob.max())
    if prob.shape != truth.grid.shape or not (np.isfinite(low) and np.isfinite(high)):
        value, rule = f"of shape {prob.shape}", "is not finite or not on the truth's grid"
    elif low < -1e-6 or high > 1 + 1e-6:
        value, rule = f"from {low:g} to {high:g}", "is not a probability"
    else:
        return
    raise BadData(f"the map of {case}", value, rule, "write probabilities from 0 to 1 on the scan's own grid")


def _hemisphere(entry: Entry, truth: Mask) -> str:
    if not entry.images:
        return "unknown"
    try:
        scan = read_scan(entry.images[0], name=entry.case)
        order = axis_map(truth.grid, scan.grid)
        if order is None:
            return "unknown"
        axes, grid = ras_map(scan.grid), ras_grid(scan.grid)
        head = find_head(np.ascontiguousarray(axes.apply(scan.image)), grid.spacing_mm)
    except InsulaError:
        return "unknown"
    return hemisphere_of(axes.apply(order.apply(truth.voxels)), head)


def _record(path: Path | None) -> Mapping[str, object]:
    """Return the record of a prediction; empty if there is none, or if another tool wrote it."""
    try:
        record = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _interval(record: Mapping[str, object]) -> tuple[float, float] | None:
    confidence = record.get("confidence")
    interval = confidence.get("volume_interval_ml") if isinstance(confidence, dict) else None
    match interval:
        case [int() | float() as low, int() | float() as high]:
            return float(low), float(high)
    return None


def _flags(record: Mapping[str, object]) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    entries = record.get("flags")
    for entry in entries if isinstance(entries, list) else []:
        match entry:
            case {"code": str(code), "text": str(text), "severity": "note"}:
                flags.append(Flag(code, text, "note"))
            case {"code": str(code), "text": str(text)}:
                flags.append(Flag(code, text))
    return tuple(flags)
