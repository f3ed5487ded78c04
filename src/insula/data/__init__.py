"""From a scan to what the network sees."""

from insula.data.head import find_head
from insula.data.normalise import Scale, measure, normalise, normalised
from insula.data.prepare import Prepared, prepare

__all__ = ["Prepared", "Scale", "find_head", "measure", "normalise", "normalised", "prepare"]
