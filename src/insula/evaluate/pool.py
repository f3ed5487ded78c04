"""Runs a case through the network once for calibration, at temperature 1 and without rounding.

Everything that is chosen later (threshold, smallest lesion, temperature, intervals) is computed from what is kept here:
two histograms, and the lesions at each threshold.
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
from insula.postprocess import find_brain, kept_by_chance, lesion_confidence, mean_logits, within_brain
from insula.prepare import prepare

__all__ = ["CaseStatistics", "Pieces", "Rule", "THRESHOLDS", "measure_case"]

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Candidate thresholds: probabilities before calibration."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Decides which voxels are lesion, and which components are kept."""

    threshold: float
    """Threshold on the probability before calibration."""
    least_ml: float = 0.0
    """Smaller components are dropped [ml]."""
    least_chance: float = 0.0
    """Components under `insula.postprocess.ALWAYS_KEPT_ML` that are less likely to be real are dropped [0, 1]."""
    lesion: tuple[float, float, float] | None = None
    """Regression of that probability on the mean logit before calibration and the volume of a component."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """The 26-connected components at one threshold."""

    volume_ml: NDArray[np.float64]
    common_ml: NDArray[np.float64]
    """Part of each component that is truly lesion [ml]."""
    logit: NDArray[np.float64]
    """Mean logit of each component; voxels are clipped to +-15."""
    meets: NDArray[np.int64]
    """(n, 2): pairs of true lesion and component that share a voxel, both counted from 0."""
    truths: int
    """Number of true lesions."""

    def kept(self, rule: Rule) -> Pieces:
        """Return the components that the rule keeps."""
        keep = self.volume_ml >= rule.least_ml
        if rule.least_chance > 0 and rule.lesion is not None:
            chance = lesion_confidence(self.logit, self.volume_ml, rule.lesion)
            keep &= kept_by_chance(chance, self.volume_ml, rule.least_chance)
        number = np.cumsum(keep) - 1
        meets = self.meets[keep[self.meets[:, 1]]]
        meets = np.stack([meets[:, 0], number[meets[:, 1]]], axis=1)
        return Pieces(self.volume_ml[keep], self.common_ml[keep], self.logit[keep], meets, self.truths)


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseStatistics:
    """What a calibration needs to know of one case: two histograms, and the components at each threshold."""

    case: str
    centre: str
    subject: str = ""
    scan_sha256: str = ""
    """SHA-256 of the scan file."""
    truth_ml: float
    voxel_ml: float
    counts: LogitCounts
    pieces: dict[float, Pieces]
    """Threshold -> its components."""

    def volume_ml(self, rule: Rule) -> float:
        """Return the volume of the mask under a rule [ml]."""
        return float(self.pieces[rule.threshold].kept(rule).volume_ml.sum())

    def dice(self, rule: Rule) -> float:
        """Return the Dice of the mask under a rule; 1 if both mask and truth are empty."""
        kept = self.pieces[rule.threshold].kept(rule)
        total = self.truth_ml + float(kept.volume_ml.sum())
        return 2 * float(kept.common_ml.sum()) / total if total else 1.0

    def lesion_f1(self, rule: Rule) -> float:
        """Return the lesion F1 of the mask under a rule, counting any overlap; 1 if both are empty."""
        kept = self.pieces[rule.threshold].kept(rule)
        detected = len(np.unique(kept.meets[:, 0]))
        total = detected + kept.truths + int((kept.common_ml == 0).sum())
        return 2 * detected / total if total else 1.0


def measure_case(entry: Entry, weights: Weights, config: SegmentConfig = SegmentConfig()) -> CaseStatistics:
    """Run one case through the network and keep what calibration needs.

    Args:
        entry: a case with a scan and a mask.
        weights: the network; its own calibration is ignored.
        config: device and precision.

    Raises:
        BadData: scan or mask is missing or unusable, or they are not on the same grid.
    """
    scan = read_scan(entry.image, name=entry.case)
    lesion = read_mask(entry.mask, label=entry.label).onto(scan.grid, what=f"the mask of {entry.case}")
    prepared = prepare(scan, weights.card.prepare)
    predicted, _ = infer_mean(weights.networks, prepared.image, config)
    brain = None if predicted.brain is None else find_brain(prepared.bring_home(predicted.brain.numpy()), scan.grid)
    prob = within_brain(prepared.bring_home(predicted.lesion.numpy()), brain)
    truth, voxel_ml = lesion.voxels, scan.grid.voxel_ml
    true = label_components(truth)
    return CaseStatistics(
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
    predicted_ids, true_ids = labels[inside].astype(np.int64), lesions[inside].astype(np.int64)
    sizes, common = (
        np.bincount(ids, minlength=count + 1)[1:].astype(np.float64) for ids in (labels.ravel(), predicted_ids)
    )
    pairs = np.unique(np.stack([true_ids[predicted_ids > 0], predicted_ids[predicted_ids > 0]], axis=1) - 1, axis=0)
    return Pieces(sizes * voxel_ml, common * voxel_ml, mean_logits(prob, labels, count), pairs, many)
