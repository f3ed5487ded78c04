"""Statistics with cases clustered by centre: intervals, comparisons, power; agreement and consensus of raters."""

from insula.stats.agreement import Agreement, cohen_kappa
from insula.stats.compare import Difference, difference_of, holm
from insula.stats.consensus import Staple, majority_vote, staple
from insula.stats.interval import Interval, mean_interval, median_interval

__all__ = [
    "Agreement",
    "Difference",
    "Interval",
    "Staple",
    "cohen_kappa",
    "difference_of",
    "holm",
    "majority_vote",
    "mean_interval",
    "median_interval",
    "staple",
]
