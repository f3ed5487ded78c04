"""Index page of a study: all cases, those to look at first on top, with filters and verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from insula.io.cells import cell_text
from insula.predict import review_score
from insula.predict.record import DISCLAIMER, CaseRecord
from insula.report.page import template
from insula.report.verdict import CaseVerdict, Review, case_verdict, mask_sha256_of, reviews_by_case

__all__ = ["render_index"]


@dataclass(frozen=True, kw_only=True)
class _Row:
    record: CaseRecord
    case: str
    score: float
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    mask_sha256: str
    verdict: CaseVerdict
    thumbnail: str


def render_index(
    records: Sequence[CaseRecord],
    *,
    note: str = "",
    reviews: Sequence[Review] = (),
    thumbnails: Mapping[str, str] | None = None,
) -> str:
    """Render a table of all cases, including refused ones, with links to their pages, sorted by review score.

    The page fetches nothing. Without JavaScript it is a complete table; with it, cases can be filtered and judged.
    Verdicts are kept in the browser and exported as a table.

    Args:
        records: from `to_record` and `refusal`.
        note: a sentence about skipped files.
        reviews: the verdicts that were collected so far.
        thumbnails: a picture of each case as a data address, by its name; a case may have none.

    Returns:
        One self-contained document. Cases of equal score keep their order.
    """
    by_case = reviews_by_case(reviews)
    rows = [_row(record, by_case, (thumbnails or {}).get(record["case"], "")) for record in records]
    rows.sort(key=lambda row: -row.score)
    done = [row for row in rows if row.record["outcome"] == "done"]
    cases = {row.case for row in rows}
    return template("index.html").render(
        rows=rows,
        done=len(done),
        refused=len(rows) - len(done),
        reviewed=sum(row.verdict.reviewed for row in done),
        reviews=[asdict(review) for review in reviews if review.case in cases],
        study=hashlib.sha256("\n".join(sorted(cases)).encode(errors="replace")).hexdigest()[:16],
        notice=DISCLAIMER,
        note=note,
    )


def _row(record: CaseRecord, reviews: Mapping[str, Sequence[Review]], thumbnail: str) -> _Row:
    rating = review_score(record)
    flags = record["flags"] if record["outcome"] == "done" else []
    return _Row(
        record=record,
        case=cell_text(record["case"]),
        score=rating.score,
        reasons=rating.reasons,
        warnings=tuple(flag["text"] for flag in flags if flag["severity"] == "warning"),
        mask_sha256=mask_sha256_of(record),
        verdict=case_verdict(record, reviews),
        thumbnail=thumbnail,
    )
