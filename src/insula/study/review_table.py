"""The table of verdicts on a study's masks, `review.tsv`: read it strictly, merge several, write it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from insula.errors import BadData, InsulaError, from_os_error
from insula.io import printable, write_json, write_text
from insula.io.cells import table_text
from insula.report import VERDICTS, Review

__all__ = [
    "REVIEW_TABLE",
    "merge_reviews",
    "read_reviews",
    "review_of_cells",
    "reviews_of",
    "reviews_or_problem",
    "write_reviews",
]

REVIEW_TABLE = "review.tsv"
"""Name of the table in a folder of results."""
_COLUMNS: dict[str, dict[str, object]] = {
    "case": {"Description": "Name of the case"},
    "rater": {"Description": "Name or initials of the rater"},
    "verdict": {
        "Description": "The rater's verdict on the mask; empty if there is only a note",
        "Levels": dict(VERDICTS),
    },
    "note": {"Description": "The rater's note"},
    "reviewed": {"Description": "Date and time of the verdict, ISO 8601"},
    "mask_sha256": {"Description": "SHA-256 of the file of the mask that was judged"},
}
_MAY_BE_EMPTY = ("verdict", "note", "mask_sha256")
_HASH = re.compile(r"([0-9a-f]{64})?")


def read_reviews(path: Path) -> list[Review]:
    """Read a table of verdicts: tab-separated, UTF-8, with the columns of `review.tsv` in any order.

    Args:
        path: the table.

    Returns:
        The verdicts in the order of the rows; empty for a table without rows.

    Raises:
        NoInput, NoPermission, IOFault: the file cannot be read.
        BadData: a column is missing, unknown or doubled, or a cell is malformed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise from_os_error(error, what="the table of verdicts", value=path.name, writing=False) from error
    except ValueError as error:
        raise BadData("the table of verdicts", printable(path.name), "is not UTF-8", "save it as UTF-8") from error
    lines = text.split("\n")
    head = lines[0].rstrip("\r").split("\t")
    wrong = [name for name in _COLUMNS if head.count(name) != 1] or [name for name in head if name not in _COLUMNS]
    if wrong:
        where = f"column {printable(wrong[0][:40])}"
        rule = "is missing, unknown or there twice"
        raise _malformed(path, where, "", rule, f"the columns are {', '.join(_COLUMNS)}, separated by tabs")
    rows = [(number, line.rstrip("\r")) for number, line in enumerate(lines[1:], 1) if line.strip()]
    return [
        review_of_cells(dict(_cells(path, number, head, line)), f"{printable(path.name)}, row {number}")
        for number, line in rows
    ]


def reviews_of(folder: Path) -> list[Review]:
    """Return the verdicts of a folder of results, as `read_reviews` does; none if it has no table of them."""
    table = folder / REVIEW_TABLE
    return read_reviews(table) if table.exists() else []


def reviews_or_problem(path: Path) -> tuple[list[Review], str]:
    """Return the verdicts in a table, and what is wrong with it as a sentence; empty if nothing is.

    Args:
        path: the table; no verdicts if it does not exist.
    """
    try:
        return (read_reviews(path) if path.exists() else []), ""
    except InsulaError as error:
        return [], f"No verdicts are shown: {error}."


def review_of_cells(cells: Mapping[str, str], where: str) -> Review:
    """Return the verdict in a row.

    Args:
        cells: column -> text, for all columns of `review.tsv`.
        where: the place of the row, for messages.

    Raises:
        BadData: a cell is malformed.
    """
    review = Review(**cells)
    rules = {
        "case": (bool(review.case), "names no case", "write the name of the case"),
        "rater": (bool(review.rater), "names no rater", "write the rater's name or initials"),
        "verdict": (review.verdict in ("", *VERDICTS), "is not a verdict", f"use one of {', '.join(VERDICTS)}"),
        "reviewed": (_is_time(review), "is not a date in ISO 8601", "use e.g. 2026-05-31T14:00:00Z"),
        "mask_sha256": (_HASH.fullmatch(review.mask_sha256) is not None, "is not a SHA-256", "give 64 hex digits"),
    }
    for column, (good, rule, remedy) in rules.items():
        if not good:
            raise BadData(f"{where}, column {column}:", printable(cells[column][:60]), rule, remedy)
    return review


def merge_reviews(*tables: Iterable[Review]) -> list[Review]:
    """Return the newest verdict of each rater on each case, sorted by case and rater.

    Args:
        tables: the verdicts; of two at the same time, the one in the later table counts as the newer.
    """
    newest: dict[tuple[str, str], Review] = {}
    for review in (review for table in tables for review in table):
        known = newest.get((review.case, review.rater))
        if known is None or review.time >= known.time:
            newest[review.case, review.rater] = review
    return [newest[key] for key in sorted(newest)]


def write_reviews(folder: Path, reviews: Iterable[Review]) -> None:
    """Write `review.tsv`, and `review.json`, which describes its columns.

    Args:
        folder: where to write; locked by the caller.
        reviews: the rows, in their order.

    Raises:
        CannotCreate, NoPermission, IOFault: a file cannot be written.
    """
    write_text(folder / REVIEW_TABLE, table_text(_COLUMNS, [asdict(review) for review in reviews]))
    write_json(folder / Path(REVIEW_TABLE).with_suffix(".json"), _COLUMNS)


def _cells(path: Path, number: int, head: list[str], line: str) -> Iterable[tuple[str, str]]:
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) != len(head):
        column = head[len(cells)] if len(cells) < len(head) else head[-1]
        rule = f"is where a row of {len(cells)} cells ends"
        raise _malformed(path, f"row {number}, column {column}", "", rule, f"every row has {len(head)} cells")
    pairs = zip(head, cells, strict=True)
    return [(column, "" if cell == "n/a" and column in _MAY_BE_EMPTY else cell) for column, cell in pairs]


def _is_time(review: Review) -> bool:
    try:
        return bool(review.time)
    except ValueError:
        return False


def _malformed(path: Path, where: str, value: str, rule: str, remedy: str) -> BadData:
    return BadData(f"{printable(path.name)}, {where}:", printable(value[:60]), rule, remedy)
