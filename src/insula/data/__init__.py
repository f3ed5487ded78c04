"""From a scan to what the network sees."""

from insula.data.head import find_head
from insula.data.normalise import Scale, measure, measure_sorted, normalise, normalised
from insula.data.prepare import Prepared, prepare

__all__ = ["Prepared", "Scale", "find_head", "measure", "measure_sorted", "normalise", "normalised", "prepare"]
