"""Reads tables as people save them: any encoding or separator, titles above the header, unclosed quotes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from insula.errors import BadData
from insula.io.bytes import file_state, read_file

__all__ = ["Table", "read_table"]

_MARKS = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars"}
_USUAL = {".tsv": "\t", ".csv": ","}
_SPACES = re.compile(r"[ \t]{2,}"), re.compile(r"[ \t]+")
_HEADS_WITHIN = 12  # rows that are searched for the header, titles included
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_REMEDY = "save it as UTF-8 text with tabs (TSV), or as .xlsx"

Known = Callable[[Sequence[str]], int]
"""Counts how many cells of a row are known column names."""


@dataclass(frozen=True)
class Table:
    """A header and its rows, each a dict keyed by column name."""

    head: tuple[str, ...]
    rows: tuple[dict[str, object], ...]
    how: tuple[str, ...] = ()
    """What is unusual about its format, worded for a sentence: `as Latin-1`, `with semicolons`."""
    broken: int = 0
    """Number of rows left out because their length differs from the header's."""


def read_table(path: Path, known: Known) -> Table:
    """Read a sheet, whatever its format.

    The header is the row with the most known names among the first dozen; the separator is the one that gives the most
    known names.

    Args:
        path: .csv, .tsv or .xlsx; in a workbook, the first sheet with a known header is read.
        known: scores a row as a header.

    Returns:
        The table; it has no header if no row has a known name, e.g. in an empty file.

    Raises:
        BadData: the file is not text or not a workbook.
    """
    if file_state(path)[0] == 0:
        return Table((), ())
    if path.suffix.lower() == ".xlsx":
        return _pick([_table(rows, known) for rows in _workbook(path)])
    text, how = _decode(path)
    text = re.sub(r"\Asep=.[\r\n]+", "", text)
    usual, candidates = _USUAL.get(path.suffix.lower(), ","), []
    for mark in sorted(_MARKS, key=lambda mark: mark != usual):
        separators = () if mark == usual else (f"with {_MARKS[mark]}",)
        candidates.append(_table(_split(text, mark), known, how=(*how, *separators)))
    for gap in _SPACES:
        rows = [[_bare(cell) for cell in gap.split(line.strip())] for line in _lines(text)]
        candidates.append(_table(rows, known, how=(*how, "with spaces")))
    return _pick(candidates, known)


def _pick(tables: list[Table], known: Known | None = None) -> Table:
    """Return the table with the most known columns, then the fewest broken rows; the first of equals."""
    if not tables:
        return Table((), ())
    score = known or (lambda head: len([name for name in head if name]))
    return max(tables, key=lambda table: (score(table.head), -table.broken))


def _table(rows: Sequence[Sequence[object]], known: Known, *, how: tuple[str, ...] = ()) -> Table:
    scores = [known([str(cell) for cell in row]) for row in rows[:_HEADS_WITHIN]]
    if not any(scores):
        return Table((), (), how)
    start = scores.index(max(scores))
    head = tuple("" if cell is None else str(cell).strip() for cell in rows[start])
    kept, broken = [], 0
    for row in rows[start + 1 :]:
        cells = list(row)
        while len(cells) > len(head) and cells[-1] in (None, ""):
            cells.pop()
        if not any(str(cell).strip() for cell in cells if cell is not None) or [str(c).strip() for c in cells] == list(
            head
        ):
            continue  # an empty row, or the header again
        if len(cells) > len(head) or len(cells) == 1 < len(head):
            broken += 1
            continue
        kept.append(dict(reversed(list(zip(head, cells, strict=False)))))  # the first of two columns with one name wins
    return Table(head, tuple(kept), how, broken)


def _decode(path: Path) -> tuple[str, tuple[str, ...]]:
    data = read_file(path).data
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or _wide(data):
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-16-le" if data[1] == 0 else "utf-16-be"
        kinds: tuple[tuple[str, tuple[str, ...]], ...] = ((encoding, ("as UTF-16",)),)
    else:
        kinds = (("utf-8-sig", ()), ("cp1252", ("as Latin-1",)), ("latin-1", ("as Latin-1",)))
    for encoding, how in kinds:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        text = text.rstrip("\x00\x1a")
        if not _CONTROL.search(text):
            return text, how
    raise BadData("the sheet", path.name, "is not text", _REMEDY)


def _wide(data: bytes) -> bool:
    """Return whether every other byte at the start is 0, as in UTF-16 without a byte-order mark."""
    start = data[:64]
    return len(start) > 3 and (not any(start[1::2]) or not any(start[::2]))


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def _split(text: str, mark: str) -> list[list[str]]:
    """Split text into the cells of every row; an unclosed quote, e.g. for inches, counts as a letter."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True))
        if not any(_swallowed(cell, mark, len(row)) for row in rows for cell in row):
            return rows
    except csv.Error:
        pass
    return [_cells(line, mark) for line in _lines(text)]


def _swallowed(cell: str, mark: str, columns: int) -> bool:
    """Return whether a multi-line cell holds what looks like further rows, because a quote was not closed."""
    return any(2 * line.count(mark) >= columns - 1 > 0 for line in _lines(cell)[1:])


def _cells(line: str, mark: str) -> list[str]:
    try:
        (cells,) = csv.reader([line], delimiter=mark, strict=True)
    except (csv.Error, ValueError):
        cells = [_bare(cell) for cell in line.split(mark)]
    return cells


def _bare(cell: str) -> str:
    return cell.strip().strip('"')


def _workbook(path: Path) -> list[list[list[object]]]:
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(read_file(path).data), read_only=True, data_only=True)
        return [[list(row) for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets]
    except BadData:
        raise
    except Exception as error:  # a damaged zip can raise anything
        rule = f"cannot be read ({type(error).__name__})"
        raise BadData(
            "the sheet", path.name, rule, "save it again as .xlsx, or as UTF-8 text with tabs (TSV)"
        ) from None
