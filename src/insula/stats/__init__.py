"""Statistics of results: intervals, comparisons and power, with cases clustered by centre; agreement of raters."""

from insula.stats.agreement import Agreement, cohen_kappa
from insula.stats.compare import Difference, difference_of, holm
from insula.stats.interval import Interval, mean_interval, median_interval

__all__ = [
    "Agreement",
    "Difference",
    "Interval",
    "cohen_kappa",
    "difference_of",
    "holm",
    "mean_interval",
    "median_interval",
]
