"""The currency: what is handed from function to function, frozen, each with its grid."""

from insula.volume.case import Case
from insula.volume.mask import Mask
from insula.volume.scan import FileFacts, Scan, Spaces

__all__ = ["Case", "FileFacts", "Mask", "Scan", "Spaces"]
