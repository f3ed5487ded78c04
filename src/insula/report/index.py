"""Index page of a study: all cases, those to look at first on top, with filters and verdicts."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from insula.io.cells import cell_text
from insula.predict import review_score
from insula.predict.record import DISCLAIMER, CaseRecord
from insula.report.page import template
from insula.report.verdict import Review, case_verdict, mask_sha256_of, reviews_by_case

__all__ = ["IndexRow", "index_row", "join_index", "note_of", "render_index"]

_HEAD_BYTES = 1 << 16
_META = re.compile(rb'<meta name="note" content="([^"]*)">')


@dataclass(frozen=True, kw_only=True)
class IndexRow:
    """A row of the index."""

    case: str
    """Name of the case, as a cell of a table."""
    done: bool
    """Whether the scan was segmented."""
    score: float
    """The review score, 0 to 1."""
    reviewed: bool
    """Whether somebody judged the present mask."""
    html: str
    """The row as HTML."""


def render_index(
    records: Sequence[CaseRecord],
    *,
    note: str = "",
    reviews: Sequence[Review] = (),
    thumbnails: Mapping[str, str] | None = None,
    served: bool = False,
) -> str:
    """Render a table of all cases, including refused ones, with links to their pages, sorted by review score.

    The page fetches nothing. Without JavaScript it is a complete table; with it, cases can be filtered and judged.
    Verdicts are kept in the browser and exported as a table. Only a page that is served calls its service, which then
    keeps the verdicts of all raters.

    Args:
        records: from `to_record` and `refusal`.
        note: a sentence about skipped files; `note_of` finds it again.
        reviews: the verdicts that were collected so far.
        thumbnails: a picture of each case as a data address, by its name; a case may have none.
        served: whether `insula serve` shows the page, at `study/`: cases link to the editor, and verdicts go there.

    Returns:
        One self-contained document. Cases of equal score keep their order.
    """
    by_case, pictures = reviews_by_case(reviews), thumbnails or {}
    rows = [index_row(record, by_case, pictures.get(record["case"], ""), served=served) for record in records]
    return join_index(rows, note=note, reviews=reviews, served=served)


def join_index(
    rows: Sequence[IndexRow],
    *,
    note: str = "",
    problem: str = "",
    reviews: Sequence[Review] = (),
    served: bool = False,
) -> str:
    """Return the index of rendered rows, as `render_index` does.

    Args:
        rows: from `index_row`, in any order.
        note: as for `render_index`.
        problem: a sentence that follows the note, and that `note_of` does not find.
        reviews: as for `render_index`.
        served: as for `index_row`.
    """
    ordered = sorted(rows, key=lambda row: -row.score)
    done = [row for row in ordered if row.done]
    cases = {row.case for row in rows}
    return template("index.html").render(
        rows=ordered,
        done=len(done),
        refused=len(rows) - len(done),
        reviewed=sum(row.reviewed for row in done),
        reviews=[vars(review) for review in reviews if review.case in cases],
        study=hashlib.sha256("\n".join(sorted(cases)).encode(errors="replace")).hexdigest()[:16],
        notice=DISCLAIMER,
        note=note,
        notes=" ".join(filter(None, (note, problem))),
        served=served,
    )


def index_row(
    record: CaseRecord, reviews: Mapping[str, Sequence[Review]], thumbnail: str = "", *, served: bool = False
) -> IndexRow:
    """Render the row of a case; it depends on nothing else, and stays valid until one of these changes.

    Args:
        record: of the case.
        reviews: from `reviews_by_case`.
        thumbnail: a picture of the case as a data address; empty for none.
        served: whether `insula serve` shows the page.
    """
    rating, verdict = review_score(record), case_verdict(record, reviews)
    flags = record["flags"] if record["outcome"] == "done" else []
    case = cell_text(record["case"])
    row = template("index_row.html").render(
        r=record,
        case=case,
        score=rating.score,
        reasons=rating.reasons,
        warnings=[flag["text"] for flag in flags if flag["severity"] == "warning"],
        mask_sha256=mask_sha256_of(record),
        verdict=verdict,
        thumbnail=thumbnail,
        served=served,
    )
    return IndexRow(
        case=case,
        done=record["outcome"] == "done",
        score=rating.score,
        reviewed=record["outcome"] == "done" and verdict.reviewed,
        html=row,
    )


def note_of(index: Path) -> str:
    """Return the note of an index page; empty if the page is missing or has none.

    Args:
        index: from `render_index` or `join_index`.
    """
    try:
        with index.open("rb") as file:
            match = _META.search(file.read(_HEAD_BYTES))
    except OSError:
        return ""
    return html.unescape(match[1].decode(errors="replace")) if match else ""
