"""Frozen data classes that functions exchange; each carries its grid."""

from insula.volume.case import Case
from insula.volume.mask import Mask
from insula.volume.scan import FileFacts, Scan, Spaces

__all__ = ["Case", "FileFacts", "Mask", "Scan", "Spaces"]
