"""A rater's verdict on a mask, and what all verdicts on a case amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from insula.io.cells import cell_text
from insula.predict.record import CaseRecord

__all__ = ["OUTDATED", "VERDICTS", "CaseVerdict", "Review", "case_verdict", "mask_sha256_of", "reviews_by_case"]

VERDICTS = {"pass": "usable as it is", "fix": "usable after a correction", "fail": "not usable"}
"""The verdicts, and what each means."""
OUTDATED = "outdated"
"""Stands for verdicts on a mask that has changed since."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """The verdict of one rater on the mask of one case; a row of `review.tsv`."""

    case: str
    """Name of the case, as a cell of a table."""
    rater: str
    verdict: str
    """One of `VERDICTS`; empty if there is only a note so far."""
    note: str = ""
    reviewed: str
    """Date and time in ISO 8601; UTC if it has no offset."""
    mask_sha256: str
    """SHA-256 of the mask's file."""

    @property
    def time(self) -> datetime:
        """The date and time of the review.

        Raises:
            ValueError: `reviewed` is not a date in ISO 8601.
        """
        time = datetime.fromisoformat(self.reviewed)
        return time if time.tzinfo else time.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class CaseVerdict:
    """What the verdicts on a case amount to."""

    verdict: str
    """The latest verdict on the present mask; `OUTDATED` if all are on an earlier mask; empty if there is none."""
    raters: tuple[str, ...] = ()
    """The raters of the present mask, sorted."""
    notes: tuple[str, ...] = ()
    """The notes of all raters, each with its rater's name."""

    @property
    def reviewed(self) -> bool:
        """Whether somebody judged the present mask."""
        return self.verdict in VERDICTS


def mask_sha256_of(record: CaseRecord) -> str:
    """Return the SHA-256 of a case's present mask; empty for a refused case or a record without hashes."""
    return record.get("sha256", {}).get("mask", "") if record["outcome"] == "done" else ""


def reviews_by_case(reviews: Iterable[Review]) -> dict[str, list[Review]]:
    """Return the reviews of each case, the oldest first; of two at the same time, the later in order is the newer."""
    by_case: dict[str, list[Review]] = {}
    for review in sorted(reviews, key=lambda review: review.time):
        by_case.setdefault(review.case, []).append(review)
    return by_case


def case_verdict(record: CaseRecord, reviews: Mapping[str, Sequence[Review]]) -> CaseVerdict:
    """Return what the reviews of a case amount to; a verdict on a mask that has changed since does not count.

    Args:
        record: the record of the case.
        reviews: from `reviews_by_case`.
    """
    own = reviews.get(cell_text(record["case"]), ())
    notes = tuple(f"{review.rater}: {review.note}" for review in own if review.note)
    judged = [review for review in own if review.verdict]
    present = [review for review in judged if review.mask_sha256 == mask_sha256_of(record)]
    if not present:
        return CaseVerdict(verdict=OUTDATED if judged else "", notes=notes)
    raters = tuple(sorted({review.rater for review in present}))
    return CaseVerdict(verdict=present[-1].verdict, raters=raters, notes=notes)
