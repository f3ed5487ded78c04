"""Tab-separated text that every statistics program reads alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["cell_text", "row_text", "table_text"]


def table_text(columns: Iterable[str], rows: Sequence[Mapping[str, object]]) -> str:
    """Return a table as tab-separated text: a header, then a line for each row.

    Args:
        columns: names of the columns, in order.
        rows: value of each column; what is missing or None becomes an empty cell.
    """
    names = list(columns)
    return "\n".join(["\t".join(names), *(row_text(names, row) for row in rows)]) + "\n"


def row_text(columns: Iterable[str], row: Mapping[str, object]) -> str:
    """Return a row of a table as a line without its end.

    Args:
        columns: as for `table_text`.
        row: value of each column; what is missing or None becomes an empty cell.
    """
    return "\t".join(cell_text(row.get(name)) for name in columns)


def cell_text(value: object) -> str:
    """Return a cell: one line, and no quotation marks, which would hide the tabs behind them from R and pandas."""
    return "" if value is None else " ".join(str(value).replace('"', "'").split())
