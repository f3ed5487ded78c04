"""Tab-separated text that every statistics program reads alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["cell_text", "table_text"]


def table_text(columns: Iterable[str], rows: Sequence[Mapping[str, object]]) -> str:
    """Return a table as tab-separated text: a header, then a line for each row.

    Args:
        columns: names of the columns, in order.
        rows: value of each column; what is missing or None becomes an empty cell.
    """
    names = list(columns)
    lines = ["\t".join(names), *("\t".join(cell_text(row.get(name)) for name in names) for row in rows)]
    return "\n".join(lines) + "\n"


def cell_text(value: object) -> str:
    """Return a cell: one line, and no quotation marks, which would hide the tabs behind them from R and pandas."""
    return "" if value is None else " ".join(str(value).replace('"', "'").split())
