"""Summarises case scores over a cohort: strata, intervals, recall by size, reliability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from insula.config import Scaling
from insula.evaluate.presets import METRICS, Preset
from insula.evaluate.score import CaseScore, PredictedLesion, TrueLesion
from insula.metrics import LOGITS, SIZE_BINS, LogitCounts, size_bin
from insula.stats import Interval, mean_interval, median_interval

__all__ = [
    "Reliability",
    "ScoreRow",
    "SizeRow",
    "coverage",
    "curve",
    "log_loss",
    "pooled",
    "reliability",
    "size_recall",
    "strata_of",
    "summarise",
]

_LEAST_PROB = 0.01
_LEAST_SHARE = 30  # cases needed for the interval of a proportion


class SizeRow(TypedDict):
    """Detection of the lesions of one size."""

    bin: str
    """Range of the sizes [voxels]."""
    lesions: int
    recall_any: float | None
    """Share of the lesions that a prediction touches; None without lesions."""
    recall_iou25: float | None
    """Share of the lesions that are matched at an IoU of 0.25 or more; None without lesions."""
    predicted: int
    precision_any: float | None
    """Share of the predicted lesions that touch a true one; None without predictions."""


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One metric over one group of cases."""

    stratum: str
    group: str
    metric: str
    n: int
    undefined: int
    mean: Interval | None
    median: Interval | None
    quartiles: tuple[float, float] | None


def summarise(scores: Sequence[CaseScore], preset: Preset) -> list[ScoreRow]:
    """Summarise every metric of a preset over all cases and over every stratum.

    If the preset separates controls, a metric is summarised only over the cases it is meant for. Those in which it is
    undefined are counted, not hidden.
    """
    rows = []
    for stratum, groups in strata_of(scores, controls_apart=preset.controls_apart).items():
        for group, members in groups.items():
            for metric in preset.metrics:
                applicable = [
                    score for score in members if not preset.controls_apart or METRICS[metric].is_of(score.truth_voxels)
                ]
                if applicable:
                    rows.append(_row(stratum, group, metric, applicable))
    return rows


def strata_of(scores: Sequence[CaseScore], *, controls_apart: bool = False) -> dict[str, dict[str, list[CaseScore]]]:
    """Return stratum -> group -> cases, for all, lesion size, chronicity, hemisphere and centre; no group is empty.

    With `controls_apart`, `all` has the groups `with a lesion` and `controls` instead of one.
    """

    def grouped(key: Callable[[CaseScore], str], order: Sequence[str] | None = None) -> dict[str, list[CaseScore]]:
        names = order or sorted({key(score) for score in scores})
        return {name: matching for name in names if (matching := [score for score in scores if key(score) == name])}

    kinds = ("with a lesion", "controls")
    kind = lambda score: kinds[0] if score.truth_voxels else kinds[1]  # noqa: E731
    size = lambda score: "control" if score.truth_voxels == 0 else size_bin(score.truth_voxels)  # noqa: E731
    return {
        "all": grouped(kind, kinds) if controls_apart else {"all": list(scores)},
        "lesion voxels": grouped(size, ("control", *SIZE_BINS)),
        "chronicity": grouped(lambda score: score.chronicity),
        "hemisphere": grouped(lambda score: score.hemisphere),
        "centre": grouped(lambda score: score.centre),
    }


def size_recall(scores: Sequence[CaseScore]) -> list[SizeRow]:
    """Return, per size bin, the number of lesions, their recall, the number of predictions and their precision."""
    all_true: dict[str, list[TrueLesion]] = {name: [] for name in SIZE_BINS}
    all_predicted: dict[str, list[PredictedLesion]] = {name: [] for name in SIZE_BINS}
    for score in scores:
        for lesion in score.true_lesions:
            all_true[size_bin(lesion.voxels)].append(lesion)
        for predicted_lesion in score.predicted_lesions:
            all_predicted[size_bin(predicted_lesion.voxels)].append(predicted_lesion)
    rows: list[SizeRow] = []
    for name in SIZE_BINS:
        true, predicted = all_true[name], all_predicted[name]
        rows.append(
            {
                "bin": name,
                "lesions": len(true),
                "recall_any": sum(lesion.touched for lesion in true) / len(true) if true else None,
                "recall_iou25": sum(lesion.paired for lesion in true) / len(true) if true else None,
                "predicted": len(predicted),
                "precision_any": sum(lesion.touches for lesion in predicted) / len(predicted) if predicted else None,
            }
        )
    return rows


@dataclass(frozen=True, eq=False)
class Reliability:
    """Reliability of the probabilities over all voxels with a probability of at least 0.01."""

    predicted: NDArray[np.float64]
    """Mean probability of each bin."""
    true: NDArray[np.float64]
    """Fraction of voxels in each bin that are lesion."""
    voxels: NDArray[np.int64]
    error: float
    """Expected calibration error: the mean absolute gap, weighted by voxels."""
    log_loss: float
    """Mean negative log-likelihood over ALL voxels [nats], times 1000."""


def reliability(scores: Sequence[CaseScore], *, bins: int = 20) -> Reliability | None:
    """Compute the reliability over all maps together; None if no case has one.

    Source:
        Guo 2017, On calibration of modern neural networks, arXiv 1706.04599, equation 3.
    """
    counts = pooled(scores)
    if counts is None:
        return None
    voxels, confidence, true = _binned(counts, Scaling(), bins)
    error = calibration_error(counts, bins=bins)
    return Reliability(confidence, true, voxels.astype(np.int64), error, 1000 * log_loss(counts))


def calibration_error(counts: LogitCounts, *, scaling: Scaling = Scaling(), bins: int = 20) -> float:
    """Return the expected calibration error over voxels of at least 0.01, after scaling the logits."""
    return pooled_error([(counts, scaling)], bins=bins)


def pooled_error(parts: Sequence[tuple[LogitCounts, Scaling]], *, bins: int = 20) -> float:
    """Return the expected calibration error of parts that are scaled differently; 0 without voxels.

    Args:
        parts: histograms, each with its scaling.
        bins: number of probability bins.
    """
    voxels, mass, hits = np.sum([_sums(counts, scaling, bins) for counts, scaling in parts], axis=0)
    return float(np.abs(mass - hits).sum() / voxels.sum()) if voxels.sum() else 0.0


def _binned(
    counts: LogitCounts, scaling: Scaling, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return voxel count, mean probability and fraction of lesion for each non-empty probability bin."""
    voxels, mass, hits = _sums(counts, scaling, bins)
    filled = voxels > 0
    return voxels[filled], mass[filled] / voxels[filled], hits[filled] / voxels[filled]


def _sums(counts: LogitCounts, scaling: Scaling, bins: int) -> NDArray[np.float64]:
    """Return (3, bins): voxels of at least 0.01, the sum of their probabilities, and lesion voxels among them."""
    prob = 1 / (1 + np.exp(-scaling(LOGITS)))
    counted = prob >= _LEAST_PROB
    group = np.minimum((prob[counted] * bins).astype(int), bins - 1)
    weights = (counts.every, counts.every * prob, counts.lesion)
    return np.array([np.bincount(group, weights=w[counted], minlength=bins) for w in weights], dtype=np.float64)


def log_loss(counts: LogitCounts, *, scaling: Scaling = Scaling()) -> float:
    """Return the mean negative log-likelihood of all voxels [nats], after scaling the logits."""
    z = scaling(LOGITS)
    lost = np.logaddexp(0, -z) * counts.lesion + np.logaddexp(0, z) * (counts.every - counts.lesion)
    return float(lost.sum() / counts.every.sum())


def curve(scores: Sequence[CaseScore]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return recall and precision over all voxels of all cases, from high to low thresholds; None without maps."""
    counts = pooled(scores)
    if counts is None or counts.lesion.sum() == 0:
        return None
    called, hits = (side[::-1].cumsum() for side in (counts.every, counts.lesion))
    defined = called > 0
    return hits[defined] / hits[-1], hits[defined] / called[defined]


def coverage(scores: Sequence[CaseScore]) -> tuple[int, int]:
    """Return how many volume intervals contain the true volume, and how many intervals there are."""
    intervals = [(score.truth_ml, score.interval_ml) for score in scores if score.interval_ml is not None]
    return sum(low <= true <= high for true, (low, high) in intervals), len(intervals)


def pooled(scores: Sequence[CaseScore]) -> LogitCounts | None:
    """Return the summed histograms of all maps; None if there are none."""
    maps = [score.counts for score in scores if score.counts is not None]
    if not maps:
        return None
    return LogitCounts(np.sum([m.every for m in maps], axis=0), np.sum([m.lesion for m in maps], axis=0))


def _row(stratum: str, group: str, metric: str, members: Sequence[CaseScore]) -> ScoreRow:
    pairs = [(value, score.centre) for score in members if (value := score.metrics[metric]) is not None]
    row = partial(
        ScoreRow, stratum=stratum, group=group, metric=metric, n=len(pairs), undefined=len(members) - len(pairs)
    )
    if not pairs:
        return row(mean=None, median=None, quartiles=None)
    values, centres = [value for value, _ in pairs], [centre for _, centre in pairs]
    low, high = np.percentile(values, [25, 75])
    mean, median = mean_interval(values, centres, least=0, most=METRICS[metric].most), median_interval(values, centres)
    # a proportion: t intervals are invalid for few cases, and medians are meaningless
    if METRICS[metric].most == 1 and set(values) <= {0.0, 1.0}:
        basis = f"{round(sum(values))} of {len(values)}" + (
            ", too few for an interval" if len(values) < _LEAST_SHARE else ""
        )
        mean = (
            replace(mean, basis=basis)
            if len(values) >= _LEAST_SHARE
            else replace(mean, low=None, high=None, centre_values=(), basis=basis)
        )
        median = replace(median, low=None, high=None, centre_values=(), basis=basis)
    return row(mean=mean, median=median, quartiles=(float(low), float(high)))
