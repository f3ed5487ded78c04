"""How good a mask is."""

from insula.metrics.interval import Interval, bootstrap
from insula.metrics.overlap import dice_score

__all__ = ["Interval", "bootstrap", "dice_score"]
