"""From a scan to what the network sees."""

from insula.data.head import find_head
from insula.data.normalise import Scale, measure, measure_each, normalise, normalise_each, normalised
from insula.data.prepare import Prepared, prepare

__all__ = [
    "Prepared",
    "Scale",
    "find_head",
    "measure",
    "measure_each",
    "normalise",
    "normalise_each",
    "normalised",
    "prepare",
]
