"""Preparation of a scan for the network."""

from insula.prepare.box import Prepared, prepare
from insula.prepare.head import find_head
from insula.prepare.intensity import Scale, measure, measure_each, normalise, normalise_each, normalised

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
