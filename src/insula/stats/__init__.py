"""What a cohort's numbers are worth: intervals, comparisons, power; cases of one centre are alike."""

from insula.stats.compare import Difference, difference_of, holm
from insula.stats.interval import Interval, mean_interval, median_interval

__all__ = ["Difference", "Interval", "difference_of", "holm", "mean_interval", "median_interval"]
