"""Statistics of a cohort's results: intervals, comparisons and power, with cases clustered by centre."""

from insula.stats.compare import Difference, difference_of, holm
from insula.stats.interval import Interval, mean_interval, median_interval

__all__ = ["Difference", "Interval", "difference_of", "holm", "mean_interval", "median_interval"]
