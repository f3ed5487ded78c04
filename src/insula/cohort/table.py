"""Tables as people save them: any encoding, any mark between the cells, titles above the heads, quotes that never end."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insula.errors import BadData
from insula.io.bytes import file_state, read_file

__all__ = ["Table", "read_table"]

_MARKS = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars"}
_USUAL = {".tsv": "\t", ".csv": ","}
_SPACES = re.compile(r"[ \t]{2,}"), re.compile(r"[ \t]+")
_HEADS_WITHIN = 12  # rows, titles above the heads included
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_REMEDY = "save it as UTF-8 text with tabs (TSV), or as .xlsx"

Known = Callable[[Sequence[str]], int]
"""How many of a row's cells are the heads of columns that are known."""


@dataclass(frozen=True)
class Table:
    """Rows by their heads."""

    head: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    how: tuple[str, ...] = ()
    """What is unusual of its form, for a sentence: `as Latin-1`, `with semicolons`."""
    broken: int = 0
    """Rows of another length than the head, which are left out."""


def read_table(path: Path, known: Known) -> Table:
    """Read a sheet, whatever its form.

    The heads are the row with most known names among the first dozen, and what separates cells is what makes most of them known.

    Args:
        path: .csv or .tsv, or .xlsx, of which the first sheet with known heads counts.
        known: judges a row.

    Returns:
        The table; without a head where no row has a known name, as in an empty file.

    Raises:
        BadData: no text, or no workbook.
    """
    if file_state(path)[0] == 0:
        return Table((), ())
    if path.suffix.lower() == ".xlsx":
        return _pick([_table(rows, known) for rows in _workbook(path)])
    text, how = _decode(path)
    text = re.sub(r"\Asep=.[\r\n]+", "", text)
    usual, found = _USUAL.get(path.suffix.lower(), ","), []
    for mark in sorted(_MARKS, key=lambda mark: mark != usual):
        told = () if mark == usual else (f"with {_MARKS[mark]}",)
        found.append(_table(_split(text, mark), known, how=(*how, *told)))
    for gap in _SPACES:
        rows: list[Sequence[Any]] = [[_bare(cell) for cell in gap.split(line.strip())] for line in _lines(text)]
        found.append(_table(rows, known, how=(*how, "with spaces")))
    return _pick(found, known)


def _pick(found: list[Table], known: Known | None = None) -> Table:
    """The first with most known heads, and among them with fewest broken rows."""
    if not found:
        return Table((), ())
    score = known or (lambda head: len([name for name in head if name]))
    return max(found, key=lambda table: (score(table.head), -table.broken))


def _table(rows: Sequence[Sequence[Any]], known: Known, *, how: tuple[str, ...] = ()) -> Table:
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
            continue  # an empty row, or the heads again
        if len(cells) > len(head) or len(cells) == 1 < len(head):
            broken += 1
            continue
        kept.append(dict(reversed(list(zip(head, cells, strict=False)))))  # of two columns of one name, the first
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
    raise BadData("the sheet", path.name, "is no text", _REMEDY)


def _wide(data: bytes) -> bool:
    """Every other byte of the beginning is 0: UTF-16 without its mark."""
    start = data[:64]
    return len(start) > 3 and (not any(start[1::2]) or not any(start[::2]))


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def _split(text: str, mark: str) -> list[Sequence[Any]]:
    """Cells of every row; a quote that is never closed, or stands for an inch, is a letter like others."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True))
        if not any(_swallowed(cell, mark, len(row)) for row in rows for cell in row):
            return list(rows)
    except csv.Error:
        pass
    return [_cells(line, mark) for line in _lines(text)]


def _swallowed(cell: str, mark: str, columns: int) -> bool:
    """Whether a cell of several lines holds what looks like rows of its own: a quote was not closed."""
    return any(2 * line.count(mark) >= columns - 1 > 0 for line in _lines(cell)[1:])


def _cells(line: str, mark: str) -> list[str]:
    try:
        (cells,) = csv.reader([line], delimiter=mark, strict=True)
    except (csv.Error, ValueError):
        cells = [_bare(cell) for cell in line.split(mark)]
    return cells


def _bare(cell: str) -> str:
    return cell.strip().strip('"')


def _workbook(path: Path) -> list[list[Sequence[Any]]]:
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(read_file(path).data), read_only=True, data_only=True)
        return [[list(row) for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets]
    except BadData:
        raise
    except Exception as error:  # a damaged zip raises what it likes
        rule = f"cannot be read ({type(error).__name__})"
        raise BadData(
            "the sheet", path.name, rule, "save it again as .xlsx, or as UTF-8 text with tabs (TSV)"
        ) from None
