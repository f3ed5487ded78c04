"""One case of a cohort on disk: its files, and its facts from the sheets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from insula.errors import BadData

__all__ = ["Chronicity", "Entry"]

Chronicity = Literal["acute", "chronic", "unknown"]
"""Chronic from 180 days after the stroke; acute before that."""

_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)")
_SESSION = re.compile(r"(ses-[A-Za-z0-9]+)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One session of one subject: its files, and its facts from the sheets."""

    case: str
    """Case name: `sub-x_ses-y`, or nnU-Net's case name."""
    subject: str
    """Subject label, e.g. `sub-x`."""
    session: str
    """Session label; empty if there is none."""
    centre: str = "unknown"
    """Centre of the scan: R001 etc. in ATLAS, the site in a sheet elsewhere, or `unknown`."""
    images: tuple[Path, ...]
    """T1w files; anything but exactly one is a fault."""
    beside: tuple[Path, ...] = ()
    """Other T1w files of the session, without a mask."""
    doubt: str = ""
    """Why it is unclear which scan the mask belongs to; empty where it is clear."""
    masks: tuple[Path, ...]
    """Lesion masks."""
    hidden: bool = False
    """Whether the case is in a part whose masks are not released."""
    days: float | None = None
    """Days after the stroke; None if unknown, zero or negative."""
    chronicity: Chronicity = "unknown"
    """Derived from the days; taken from the sheet only where the days are missing."""
    former: str | None = None
    """Name in ATLAS 1.2, if the case was part of it."""
    label: int | None = None
    """Value that marks lesion, for masks with several labels."""

    @classmethod
    def of_files(
        cls,
        case: str,
        images: tuple[Path, ...],
        masks: tuple[Path, ...],
        *,
        beside: tuple[Path, ...] = (),
        doubt: str = "",
    ) -> Entry:
        """Return the entry of a case by its files alone; subject and session come from its name.

        A case without a BIDS name is its own subject.
        """
        subject, session = _SUBJECT.search(case), _SESSION.search(case)
        return cls(
            case=case,
            subject=subject.group(1) if subject else case,
            session=session.group(1) if session else "",
            images=images,
            masks=masks,
            beside=beside,
            doubt=doubt,
        )

    @property
    def image(self) -> Path:
        """The scan.

        Raises:
            BadData: there is no scan, or it is unclear which one to use.
        """
        if not self.images:
            raise BadData("the case", self.case, "has no T1w scan", "see `insula cohort check`")
        self._refuse_doubt()
        return self.images[0]

    @property
    def mask(self) -> Path:
        """The lesion mask.

        Raises:
            BadData: there is no mask, there are several, or it is unclear which scan it belongs to.
        """
        if not self.masks:
            raise BadData("the case", self.case, "has no lesion mask", "see `insula cohort check`")
        if len(self.masks) > 1:
            names = " and ".join(path.name for path in self.masks[:2])
            raise BadData("the case", self.case, f"has {len(self.masks)} lesion masks ({names})", "keep one")
        self._refuse_doubt()
        return self.masks[0]

    def _refuse_doubt(self) -> None:
        if self.doubt:
            raise BadData("the case", self.case, self.doubt, "keep one, or name its run in both names")
