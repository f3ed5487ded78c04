"""One case as calibration needs it: through the network once, at temperature 1 and without rounding.

All that is chosen later (threshold, smallest lesion, temperature, intervals) is computed from what is kept of a case here:
two histograms, and the lesions that each threshold would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insula.checkpoint import Weights
from insula.cohort import Entry
from insula.config import SegmentConfig
from insula.geometry import label_components
from insula.infer import infer_mean
from insula.io import read_mask, read_scan
from insula.metrics import LogitCounts, count_logits
from insula.postprocess import find_brain, mean_logits, within_brain
from insula.prepare import prepare

__all__ = ["THRESHOLDS", "Pieces", "Rule", "Studied", "chances", "study"]

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Probabilities, before calibration, among which the threshold is chosen."""


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
            keep &= chances(self, rule.lesion) >= rule.least_chance
        number = np.cumsum(keep) - 1
        meets = self.meets[keep[self.meets[:, 1]]]
        meets = np.stack([meets[:, 0], number[meets[:, 1]]], axis=1)
        return Pieces(self.volume_ml[keep], self.common_ml[keep], self.logit[keep], meets, self.truths)


@dataclass(frozen=True, kw_only=True, eq=False)
class Studied:
    """All that is kept of one case."""

    case: str
    centre: str
    subject: str = ""
    scan_sha256: str = ""
    """SHA-256 of the scan's file."""
    truth_ml: float
    voxel_ml: float
    counts: LogitCounts
    pieces: dict[float, Pieces]
    """By threshold."""

    def volume_ml(self, rule: Rule) -> float:
        """Volume of the mask that a rule would give."""
        return float(self.pieces[rule.threshold].kept(rule).volume_ml.sum())

    def dice(self, rule: Rule) -> float:
        """Dice of the mask that a rule would give; 1 where it and the truth are empty."""
        some = self.pieces[rule.threshold].kept(rule)
        total = self.truth_ml + float(some.volume_ml.sum())
        return 2 * float(some.common_ml.sum()) / total if total else 1.0

    def lesion_f1(self, rule: Rule) -> float:
        """Lesion F1 of the mask that a rule would give, one common voxel being enough; 1 where both are empty."""
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
    scan = read_scan(entry.image, name=entry.case)
    lesion = read_mask(entry.mask, label=entry.label).onto(scan.grid, what=f"the mask of {entry.case}")
    prepared = prepare(scan, weights.card.prepare)
    seen, _ = infer_mean(weights.networks, prepared.image, config)
    brain = None if seen.brain is None else find_brain(prepared.bring_home(seen.brain.numpy()), scan.grid)
    prob = within_brain(prepared.bring_home(seen.lesion.numpy()), brain)
    truth, voxel_ml = lesion.voxels, scan.grid.voxel_ml
    true = label_components(truth)
    return Studied(
        case=entry.case,
        centre=entry.centre,
        subject=entry.subject,
        scan_sha256=scan.file.sha256 if scan.file else "",
        truth_ml=float(truth.sum()) * voxel_ml,
        voxel_ml=voxel_ml,
        counts=count_logits(truth, prob),
        pieces={t: _pieces(prob, true, t, voxel_ml) for t in THRESHOLDS},
    )


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


def chances(pieces: Pieces, lesion: tuple[float, float, float]) -> NDArray[np.float64]:
    """The chance of each piece to be real, by a regression on its mean logit and the log of its volume [ml]."""
    constant, by_logit, by_volume = lesion
    z = constant + by_logit * pieces.logit + by_volume * np.log(pieces.volume_ml)
    return 1 / (1 + np.exp(-np.clip(z, -50, 50)))
