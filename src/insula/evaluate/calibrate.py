"""What a network's probabilities are worth, fitted on cases that trained nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from insula.config import Calibration
from insula.errors import BadData
from insula.evaluate.score import CaseScore
from insula.evaluate.summary import log_loss, pooled
from insula.postprocess import SPREAD, lesion_confidence, volume_doubt, volume_interval

__all__ = ["calibrate", "moved_threshold"]

_LEVEL = 0.9
_LEAST_CASES = 20
_LEAST_LESIONS = 20
_RIDGE = 1e-3


def calibrate(scores: Sequence[CaseScore], *, cohort_sha256: str = "") -> Calibration:
    """Fit temperature, volume interval and lesion confidence to predictions made at temperature 1.

    Temperature: least log loss over all voxels. Interval: split-conformal on log(volume + 1 ml), in units of the
    case's own doubt. Lesion confidence: logistic regression of `touches a true lesion`. How well interval and
    confidence hold is measured by leaving out one centre after the other.

    Args:
        scores: with maps; of cases that trained nothing, controls included.
        cohort_sha256: of what they are from, for the record.

    Raises:
        BadData: fewer than 20 cases with maps.

    Source:
        Guo 2017, arXiv 1706.04599 (temperature); Lei 2018, JASA 113:1094 (normalised conformal intervals).
    """
    counts = pooled(scores)
    known = [score for score in scores if score.counts is not None]
    if counts is None or len(known) < _LEAST_CASES:
        rule = f"are fewer than {_LEAST_CASES}, which fit nothing"
        raise BadData("the cases with probability maps", len(known), rule, "predict more of them with `insula segment`")
    found = minimize_scalar(lambda t: log_loss(counts, temperature=math.exp(t)), bounds=(-2, 3), method="bounded")
    temperature = round(math.exp(float(found.x)), 4)
    volume = _volume(known, temperature)
    lesion = _lesion(known, temperature)
    facts: dict[str, float | int | str] = {
        "cases": len(known),
        "lesions": sum(len(score.predicted_lesions) for score in known),
        "cohort_sha256": cohort_sha256,
        "log_loss_before": round(1000 * log_loss(counts), 4),
        "log_loss_after": round(1000 * log_loss(counts, temperature=temperature), 4),
    }
    made = Calibration(temperature=temperature, volume=volume, level=_LEVEL, lesion=lesion)
    return replace(made, fitted_on=facts | _held_out(known, temperature))


def moved_threshold(threshold: float, temperature: float) -> float:
    """The calibrated probability at which a mask is the same as at `threshold` before calibration."""
    return round(1 / (1 + math.exp(-math.log(threshold / (1 - threshold)) / temperature)), 6)


def _doubt(score: CaseScore, temperature: float) -> float:
    assert score.counts is not None
    wide, narrow = (score.counts.voxels_above(p, temperature=temperature) * score.voxel_ml for p in SPREAD)
    return volume_doubt(wide, narrow)


def _volume(scores: Sequence[CaseScore], temperature: float) -> tuple[float, float]:
    """The two conformal quantiles; each side is missed by half of 1 - level."""
    gaps = np.sort(
        [(math.log1p(s.truth_ml) - math.log1p(s.predicted_ml)) / _doubt(s, temperature) for s in scores]
    )  # fmt: skip
    count, miss = len(gaps), (1 - _LEVEL) / 2
    low = gaps[max(0, math.floor((count + 1) * miss) - 1)]
    high = gaps[min(count - 1, math.ceil((count + 1) * (1 - miss)) - 1)]
    return round(float(low), 5), round(float(high), 5)


def _rows(scores: Sequence[CaseScore], temperature: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features and truth of every predicted lesion that was in a map."""
    lesions = [one for score in scores for one in score.predicted_lesions if one.mean_logit is not None]
    features = [(1.0, (one.mean_logit or 0.0) / temperature, math.log(one.volume_ml)) for one in lesions]
    return np.array(features).reshape(-1, 3), np.array([float(one.touches) for one in lesions])


def _lesion(scores: Sequence[CaseScore], temperature: float) -> tuple[float, float, float] | None:
    """A logistic regression; None with too few lesions, or only real or only false ones."""
    features, real = _rows(scores, temperature)
    if len(real) < _LEAST_LESIONS or real.min() == real.max():
        return None

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = features @ weights
        value = np.mean(np.logaddexp(0, z) - real * z) + _RIDGE * (weights[1:] ** 2).sum()
        slope = features.T @ (1 / (1 + np.exp(-z)) - real) / len(real) + 2 * _RIDGE * weights * (0, 1, 1)
        return float(value), slope

    constant, by_logit, by_volume = minimize(loss, np.zeros(3), jac=True).x
    return round(float(constant), 5), round(float(by_logit), 5), round(float(by_volume), 5)


def _held_out(scores: Sequence[CaseScore], temperature: float) -> dict[str, float | int | str]:
    """Coverage and Brier score when every centre is judged by a fit on the others."""
    centres = sorted({score.centre for score in scores})
    covered, squares, spread = [], [], []
    for centre in centres if len(centres) > 1 else ():
        rest = [score for score in scores if score.centre != centre]
        fit = Calibration(volume=_volume(rest, temperature), lesion=_lesion(rest, temperature))
        for score in scores:
            if score.centre != centre:
                continue
            interval = volume_interval(score.predicted_ml, _doubt(score, temperature), fit)
            covered.append(interval is not None and interval[0] <= score.truth_ml <= interval[1])
            features, real = _rows([score], temperature)
            chance = [lesion_confidence(row[1], math.exp(row[2]), fit) for row in features]
            squares += [(c - r) ** 2 for c, r in zip(chance, real, strict=True) if c is not None]
            spread += list(real)
    facts: dict[str, float | int | str] = {}
    if covered:
        facts["volume_coverage"] = round(float(np.mean(covered)), 4)
    if squares:
        facts["lesion_brier"] = round(float(np.mean(squares)), 4)
        facts["lesion_brier_of_the_mean"] = round(float(np.var(spread)), 4)
    return facts
