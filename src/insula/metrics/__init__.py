"""How good a mask is."""

from insula.metrics.interval import Interval, bootstrap
from insula.metrics.lesions import SIZE_BINS, LesionMatch, cc_dice, match_lesions, size_bin
from insula.metrics.overlap import dice_score
from insula.metrics.soft import PrecisionRecall, average_precision, precision_recall
from insula.metrics.surface import SurfaceDistances, surface_distances

__all__ = [
    "SIZE_BINS",
    "Interval",
    "LesionMatch",
    "PrecisionRecall",
    "SurfaceDistances",
    "average_precision",
    "bootstrap",
    "cc_dice",
    "dice_score",
    "match_lesions",
    "precision_recall",
    "size_bin",
    "surface_distances",
]
