"""What a network's probabilities are worth, learnt from cases that trained nothing.

Every case goes through the network once, at temperature 1 and without rounding. All that is chosen later (threshold,
smallest lesion, temperature, intervals) is computed from what is kept of it here: two histograms, and the lesions that
each threshold would give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from insula.checkpoint import Card, Weights
from insula.cohort import Entry, read_lesion
from insula.config import Calibration, SegmentConfig
from insula.data import prepare
from insula.errors import BadData
from insula.evaluate.summary import log_loss
from insula.geometry import label_components
from insula.infer import infer_mean
from insula.io import read_scan
from insula.metrics import LogitCounts, count_logits
from insula.postprocess import (
    SPREAD,
    find_brain,
    lesion_confidence,
    mean_logits,
    volume_doubt,
    volume_interval,
    within_brain,
)

__all__ = ["CHANCES", "LEAST_ML", "THRESHOLDS", "Pieces", "Rule", "Studied", "calibrate", "study"]

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Probabilities, before calibration, among which the threshold is chosen."""
LEAST_ML = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Volumes among which the smallest lesion kept is chosen."""
CHANCES = (0.0, 0.05, 0.1, 0.2)
"""Calibrated chances to be real among which the least that is kept is chosen."""
_LEVEL = 0.9
_LEAST_CASES = 20
_LEAST_LESIONS = 20
_RIDGE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which voxels are lesion, and which of their pieces are kept."""

    threshold: float
    """Probability before calibration."""
    least_ml: float = 0.0
    """Smaller pieces are dropped."""
    least_chance: float = 0.0
    """And those whose chance to be real is smaller."""
    lesion: tuple[float, float, float] | None = None
    """How that chance follows from a piece's mean logit, before calibration, and its volume."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """The 26-connected pieces that one threshold gives."""

    volume_ml: NDArray[np.float64]
    common_ml: NDArray[np.float64]
    """What of each is truly lesion."""
    logit: NDArray[np.float64]
    """Mean over its voxels, each cut at +-15."""
    meets: NDArray[np.int64]
    """(n, 2): which true lesion shares a voxel with which piece, both from 0."""
    truths: int
    """True lesions."""

    def kept(self, rule: Rule) -> Pieces:
        """Without those that the rule drops."""
        keep = self.volume_ml >= rule.least_ml
        if rule.least_chance > 0 and rule.lesion is not None:
            keep &= _chances(self, rule.lesion) >= rule.least_chance
        number = np.cumsum(keep) - 1
        meets = self.meets[keep[self.meets[:, 1]]]
        meets = np.stack([meets[:, 0], number[meets[:, 1]]], axis=1)
        return Pieces(self.volume_ml[keep], self.common_ml[keep], self.logit[keep], meets, self.truths)


@dataclass(frozen=True, kw_only=True, eq=False)
class Studied:
    """All that is kept of one case."""

    case: str
    centre: str
    truth_ml: float
    voxel_ml: float
    counts: LogitCounts
    pieces: dict[float, Pieces]
    """By threshold."""

    def dice(self, rule: Rule) -> float:
        """Of the mask that a rule would give; 1 where it and the truth are empty."""
        some = self.pieces[rule.threshold].kept(rule)
        total = self.truth_ml + float(some.volume_ml.sum())
        return 2 * float(some.common_ml.sum()) / total if total else 1.0

    def lesion_f1(self, rule: Rule) -> float:
        """Of the mask that a rule would give, where one common voxel is enough; 1 where it and the truth are empty."""
        some = self.pieces[rule.threshold].kept(rule)
        found = len(np.unique(some.meets[:, 0]))
        total = found + some.truths + int((some.common_ml == 0).sum())
        return 2 * found / total if total else 1.0


def study(entry: Entry, weights: Weights, config: SegmentConfig = SegmentConfig()) -> Studied:
    """Run one case through the network and keep what calibration needs.

    Args:
        entry: with a scan and a mask.
        weights: whatever calibration they carry is left aside.
        config: device and precision.

    Raises:
        BadData: scan or mask is missing, cannot be used, or they do not share a grid.
    """
    scan, lesion = read_scan(entry.image, name=entry.case), read_lesion(entry.mask, label=entry.label)
    if not scan.grid.close_to(lesion.grid):
        raise BadData("the mask of", entry.case, "does not lie on its scan's grid", "see `insula cohort check`")
    prepared = prepare(scan, weights.card.prepare)
    seen, _ = infer_mean(weights.networks, prepared.image, config)
    brain = None if seen.brain is None else find_brain(prepared.bring_home(seen.brain.numpy()), scan.grid)
    prob = within_brain(prepared.bring_home(seen.lesion.numpy()), brain)
    truth, voxel_ml = lesion.voxels, scan.grid.voxel_ml
    true = label_components(truth)
    return Studied(
        case=entry.case, centre=entry.centre, truth_ml=float(truth.sum()) * voxel_ml, voxel_ml=voxel_ml,
        counts=count_logits(truth, prob), pieces={t: _pieces(prob, true, t, voxel_ml) for t in THRESHOLDS},
    )  # fmt: skip


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
        rule = f"are fewer than {_LEAST_CASES}, too few to fit anything"
        raise BadData("the usable cases", len(cases), rule, "simulate or collect more")
    rule = _choose(cases)
    counts = sum((case.counts for case in cases[1:]), start=cases[0].counts)
    found = minimize_scalar(lambda t: log_loss(counts, temperature=math.exp(t)), bounds=(-2, 3), method="bounded")
    temperature = round(math.exp(float(found.x)), 4)
    fits = [_Fit(case, rule, temperature) for case in cases]
    made = Calibration(
        temperature=temperature, volume=_volume(fits), level=_LEVEL, lesion=_calibrated(rule, temperature) or _lesion(fits),
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


def _chances(pieces: Pieces, lesion: tuple[float, float, float]) -> NDArray[np.float64]:
    constant, by_logit, by_volume = lesion
    z = constant + by_logit * pieces.logit + by_volume * np.log(pieces.volume_ml)
    return 1 / (1 + np.exp(-np.clip(z, -50, 50)))


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


def _pieces(
    prob: NDArray[np.float32], true: tuple[NDArray[np.unsignedinteger], int], threshold: float, voxel_ml: float
) -> Pieces:
    labels, count = label_components(prob >= threshold)
    lesions, many = true
    inside = lesions > 0
    mine, theirs = labels[inside].astype(np.int64), lesions[inside].astype(np.int64)
    sizes, common = (np.bincount(some, minlength=count + 1)[1:].astype(np.float64) for some in (labels.ravel(), mine))
    pairs = np.unique(np.stack([theirs[mine > 0], mine[mine > 0]], axis=1) - 1, axis=0)
    return Pieces(sizes * voxel_ml, common * voxel_ml, mean_logits(prob, labels, count), pairs, many)


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
        made = Calibration(volume=_volume(rest), lesion=_lesion(rest))
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
