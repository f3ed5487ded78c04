"""A labelled scan with its subject."""

from __future__ import annotations

from dataclasses import dataclass

from insula.errors import BadData
from insula.types import Phase
from insula.volume.mask import Mask
from insula.volume.scan import Scan

__all__ = ["Case"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A scan with its true mask and the keys that prevent leakage between splits.

    Raises:
        BadData: scan and mask are not on the same grid (within a fiftieth of a voxel).
    """

    scan: Scan
    """The image."""
    truth: Mask
    """The lesion mask drawn by an expert; empty for a control."""
    subject: str
    """Identifier of the person; a subject never appears on both sides of a split."""
    centre: str = "unknown"
    """The imaging centre."""
    phase: Phase = "chronic"
    """Acute, chronic or control."""

    def __post_init__(self) -> None:
        if not self.scan.grid.close_to(self.truth.grid):
            raise BadData(
                f"the mask of {self.subject}",
                f"({self.truth.grid.unlike(self.scan.grid)})",
                "does not lie on its scan's grid",
                "resample the mask onto the scan",
            )
