"""Metrics of segmentation quality."""

from insula.metrics.lesions import SIZE_BINS, LesionMatch, cc_dice, match_lesions, size_bin
from insula.metrics.overlap import dice_score
from insula.metrics.soft import LOGITS, LogitCounts, PrecisionRecall, average_precision, count_logits, precision_recall
from insula.metrics.surface import SurfaceDistances, surface_distances

__all__ = [
    "LOGITS",
    "LesionMatch",
    "LogitCounts",
    "PrecisionRecall",
    "SIZE_BINS",
    "SurfaceDistances",
    "average_precision",
    "cc_dice",
    "count_logits",
    "dice_score",
    "match_lesions",
    "precision_recall",
    "size_bin",
    "surface_distances",
]
