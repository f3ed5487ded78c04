"""Verdicts that raters send: merged into the table of a folder of results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from insula.errors import BadData
from insula.report import Review
from insula.study import add_reviews

__all__ = ["VerdictsDamaged", "add_sent"]


class VerdictsDamaged(BadData):
    """The folder's own table of verdicts is malformed."""


def add_sent(folder: Path, reviews: Sequence[Review]) -> list[Review]:
    """Merge verdicts into a folder's `review.tsv`, as `add_reviews` does.

    Args:
        folder: of the results; locked by the caller.
        reviews: the verdicts; a time in the future counts as now.

    Returns:
        All verdicts of the folder.

    Raises:
        VerdictsDamaged: the folder's own table is malformed; nothing is written.
        InsulaError: the table cannot be written.
    """
    try:
        return add_reviews(folder, [_not_after_now(review) for review in reviews])
    except BadData as error:
        raise VerdictsDamaged(error.what, error.value, error.rule, error.remedy) from None


def _not_after_now(review: Review) -> Review:
    now = datetime.now(UTC)
    if review.time <= now:
        return review
    return Review(**{**vars(review), "reviewed": now.isoformat(timespec="milliseconds").replace("+00:00", "Z")})
