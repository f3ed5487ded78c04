"""What a network's probabilities are worth, learnt from cases that trained nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from insula.checkpoint import Card
from insula.config import Calibration
from insula.errors import BadData
from insula.evaluate.study import THRESHOLDS, Pieces, Rule, Studied
from insula.evaluate.summary import log_loss
from insula.postprocess import SMALL_ML, SPREAD, lesion_confidence, volume_doubt, volume_interval

__all__ = ["CHANCES", "LEAST_ML", "calibrate"]

LEAST_ML = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Volumes among which the smallest lesion kept is chosen."""
CHANCES = (0.0, 0.05, 0.1, 0.2)
"""Calibrated chances to be real among which the least that is kept is chosen."""
_LEVEL = 0.9
_LEAST_CASES = 20
_LEAST_LESIONS = 20
_LEAST_GROUP = 15  # of cases whose volume intervals are fitted together
_RIDGE = 1e-3


def calibrate(cases: Sequence[Studied], card: Card) -> Card:
    """Choose and fit everything, and write it into a card.

    Threshold, smallest lesion and least chance: of all rules whose mean Dice, controls included, is within one standard
    error of the best rule's (paired over cases), the one with the best mean lesion F1, so that large lesions alone do not decide.
    Temperature: least log loss over all voxels. Interval: split-conformal on log(volume + 1 ml), in units of the case's own doubt. Lesion
    confidence: logistic regression of `touches a true lesion`. How well the last two hold is measured by leaving out
    one centre after the other.

    Args:
        cases: that trained nothing, controls included.
        card: to put it into.

    Raises:
        BadData: fewer than 20 cases.

    Source:
        Guo 2017, arXiv 1706.04599 (temperature); Lei 2018, JASA 113:1094 (normalised conformal intervals).
    """
    if len(cases) < _LEAST_CASES:
        few = f"are fewer than {_LEAST_CASES}, too few to fit anything"
        raise BadData("the usable cases", len(cases), few, "simulate or collect more")
    rule = _choose(cases)
    counts = sum((case.counts for case in cases[1:]), start=cases[0].counts)
    found = minimize_scalar(lambda t: log_loss(counts, temperature=math.exp(t)), bounds=(-2, 3), method="bounded")
    temperature = round(math.exp(float(found.x)), 4)
    fits = [_Fit(case, rule, temperature) for case in cases]
    volume, small = _volumes(fits)
    made = Calibration(
        temperature=temperature, volume=volume, volume_small=small, level=_LEVEL, lesion=_calibrated(rule, temperature) or _lesion(fits),
        least_chance=rule.least_chance,
    )  # fmt: skip
    facts: dict[str, float | int | str] = {
        "cases": len(cases), "centres": len({case.centre for case in cases}), "controls": sum(not case.truth_ml for case in cases),
        "mean_dice": round(float(np.mean([case.dice(rule) for case in cases])), 4),
        "log_loss_before": round(1000 * log_loss(counts), 4),
        "log_loss_after": round(1000 * log_loss(counts, temperature=temperature), 4),
    }  # fmt: skip
    return replace(
        card, threshold=_sigmoid(_logit(rule.threshold) / temperature), min_lesion_ml=rule.least_ml,
        calibration=replace(made, fitted_on=facts | _held_out(fits)),
    )  # fmt: skip


def _choose(cases: Sequence[Studied]) -> Rule:
    """Dice is flat around its best and hardly sees small lesions: what is within one standard error of it, lesion F1 decides."""
    rules = []
    for threshold in THRESHOLDS:
        lesion = _chance_of([case.pieces[threshold] for case in cases])
        cuts = CHANCES if lesion is not None else CHANCES[:1]
        rules += [
            Rule(threshold=threshold, least_ml=least, least_chance=cut, lesion=lesion) for least in LEAST_ML for cut in cuts
        ]  # fmt: skip
    dice = np.array([[case.dice(rule) for case in cases] for rule in rules])
    behind = dice[dice.mean(1).argmax()] - dice
    close = behind.mean(1) <= behind.std(1, ddof=1) / math.sqrt(len(cases))
    near = [rule for rule, fits in zip(rules, close, strict=True) if fits]
    return max(near, key=lambda rule: float(np.mean([case.lesion_f1(rule) for case in cases])))


def _chance_of(cases: Sequence[Pieces]) -> tuple[float, float, float] | None:
    """How the chance that a piece is real follows from its mean logit and volume, over all pieces of all cases."""
    logit, volume, common = (
        np.concatenate([getattr(pieces, key) for pieces in cases]) for key in ("logit", "volume_ml", "common_ml")
    )
    return _regression(logit, volume, common > 0)


def _calibrated(rule: Rule, temperature: float) -> tuple[float, float, float] | None:
    """The rule's own regression, for logits divided by the temperature; None where no chance decides."""
    if rule.lesion is None or rule.least_chance == 0:
        return None
    constant, by_logit, by_volume = rule.lesion
    return constant, round(by_logit * temperature, 5), by_volume


class _Fit:
    """A case as seen by the fits, once threshold, smallest lesion and temperature are known."""

    def __init__(self, case: Studied, rule: Rule, temperature: float) -> None:
        pieces = case.pieces[rule.threshold].kept(rule)
        wide, narrow = (case.counts.voxels_above(p, temperature=temperature) * case.voxel_ml for p in SPREAD)
        self.centre, self.truth_ml, self.predicted_ml = case.centre, case.truth_ml, float(pieces.volume_ml.sum())
        self.doubt = volume_doubt(wide, narrow)
        self.logit, self.lesion_ml, self.real = pieces.logit / temperature, pieces.volume_ml, pieces.common_ml > 0


def _volumes(fits: Sequence[_Fit]) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """For masks from `SMALL_ML` on and for smaller ones, where there are enough of both; for all together otherwise."""
    small, large = ([fit for fit in fits if (fit.predicted_ml < SMALL_ML) == under] for under in (True, False))
    if min(len(small), len(large)) < _LEAST_GROUP:
        return _volume(fits), None
    return _volume(large), _volume(small)


def _volume(fits: Sequence[_Fit]) -> tuple[float, float]:
    """The two conformal quantiles; each side is missed by half of 1 - level."""
    gaps = np.sort([(math.log1p(fit.truth_ml) - math.log1p(fit.predicted_ml)) / fit.doubt for fit in fits])
    count, miss = len(gaps), (1 - _LEVEL) / 2
    low = gaps[max(0, math.floor((count + 1) * miss) - 1)]
    high = gaps[min(count - 1, math.ceil((count + 1) * (1 - miss)) - 1)]
    return round(float(low), 5), round(float(high), 5)


def _lesion(fits: Sequence[_Fit]) -> tuple[float, float, float] | None:
    """A logistic regression; None with too few lesions, or only real or only false ones."""
    logit, volume, real = (np.concatenate([getattr(f, key) for f in fits]) for key in ("logit", "lesion_ml", "real"))
    return _regression(logit, volume, real)


def _regression(
    logit: NDArray[np.float64], volume: NDArray[np.float64], real: NDArray[np.bool_]
) -> tuple[float, float, float] | None:
    """A logistic regression on a piece's mean logit and the log of its volume; None with too few, or only one kind."""
    if len(real) < _LEAST_LESIONS or real.all() or not real.any():
        return None
    features = np.stack([np.ones(len(real)), logit, np.log(volume)], axis=1)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = features @ weights
        value = np.mean(np.logaddexp(0, z) - real * z) + _RIDGE * (weights[1:] ** 2).sum()
        slope = features.T @ (1 / (1 + np.exp(-z)) - real) / len(real) + 2 * _RIDGE * weights * (0, 1, 1)
        return float(value), slope

    constant, by_logit, by_volume = minimize(loss, np.zeros(3), jac=True).x
    return round(float(constant), 5), round(float(by_logit), 5), round(float(by_volume), 5)


def _held_out(fits: Sequence[_Fit]) -> dict[str, float | int | str]:
    """Coverage and Brier score when every centre is judged by a fit on the others; empty for one centre."""
    centres = sorted({fit.centre for fit in fits})
    covered, squares, real = [], [], []
    for centre in centres if len(centres) > 1 else ():
        rest = [fit for fit in fits if fit.centre != centre]
        volume, small = _volumes(rest)
        made = Calibration(volume=volume, volume_small=small, lesion=_lesion(rest))
        for fit in (fit for fit in fits if fit.centre == centre):
            low, high = volume_interval(fit.predicted_ml, fit.doubt, made) or (0.0, 0.0)
            covered.append(low <= fit.truth_ml <= high)
            for logit, volume, is_real in zip(fit.logit, fit.lesion_ml, fit.real, strict=True):
                if (chance := lesion_confidence(logit, volume, made)) is not None:
                    squares.append((chance - is_real) ** 2)
                    real.append(is_real)
    facts: dict[str, float | int | str] = {}
    if covered:
        facts["volume_coverage_left_out"] = round(float(np.mean(covered)), 4)
    if squares:
        facts |= {
            "lesions": len(real),
            "lesion_brier_left_out": round(float(np.mean(squares)), 4),
            "lesion_brier_of_the_share": round(float(np.var(real)), 4),
        }
    return facts


def _logit(prob: float) -> float:
    return math.log(prob / (1 - prob))


def _sigmoid(logit: float) -> float:
    """To six digits, and never 0 or 1, which no threshold may be."""
    return min(float(f"{1 / (1 + math.exp(-logit)):.6g}"), 1 - 1e-6)
