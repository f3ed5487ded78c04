"""What the sheets beside a cohort say of its subjects: CSV, TSV or Excel, whatever they call their columns."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from insula.errors import BadData

__all__ = ["Row", "read_sheets"]

_NAMES = {  # our word -> what sheets call it, letters and digits only
    "subject": ("subjectid", "participantid", "bidsid", "subject"),
    "session": ("session", "sessionid"),
    "site": ("siteid", "site", "centre", "center", "indisiteid"),
    "days": ("dayspoststroke", "dayspoststrokescan", "dayssincestroke"),
    "chronicity": ("chronicity",),
    "former": ("atlas12subjectid", "atlasr12subjectid"),
}
_WHOLE = re.compile(r"^(\d+)\.0$")


@dataclass(frozen=True)
class Row:
    """What is known of one subject."""

    site: str | None = None
    days: float | None = None
    """As written, so 0 and negative values are still here; None if missing or not a number."""
    chronicity: Literal["acute", "chronic", "unknown"] = "unknown"
    former: str | None = None

    def updated(self, other: Row) -> Row:
        """What both say, the other's word first."""
        return Row(
            site=other.site or self.site,
            days=self.days if other.days is None else other.days,
            chronicity=self.chronicity if other.chronicity == "unknown" else other.chronicity,
            former=other.former or self.former,
        )


def read_sheets(paths: Sequence[Path]) -> dict[tuple[str, str], Row]:
    """(subject, session) -> what all sheets together say; a row without a session stands under an empty one.

    Raises:
        BadData: a sheet that cannot be read.
    """
    rows: dict[tuple[str, str], Row] = {}
    for path in paths:
        for raw in _raw(path):
            cells = {key: _cell(raw, names) for key, names in _NAMES.items()}
            subject, session = cells["subject"], cells["session"]
            if subject is None:
                found = re.search(r"sub-[A-Za-z0-9]+", path.name)  # one sheet for each subject
                if found is None:
                    continue
                subject, when = found.group(0), re.search(r"ses-[A-Za-z0-9]+", path.name)
                session = when.group(0) if when else session
            who = subject if subject.startswith("sub-") else f"sub-{subject}"
            session = _WHOLE.sub(r"\1", session or "")  # 1.0 is how spreadsheets write 1 beside an empty cell
            session = session if session.startswith("ses-") or not session else f"ses-{session}"
            row = Row(cells["site"], _number(cells["days"]), _word(cells["chronicity"]), cells["former"])
            rows[who, session] = rows.get((who, session), Row()).updated(row)
    return rows


def _raw(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.suffix.lower() == ".xlsx":
            from openpyxl import load_workbook

            table = load_workbook(path, read_only=True, data_only=True).worksheets[0].iter_rows(values_only=True)
            head = [str(cell) for cell in next(table, ())]
            for values in table:
                yield dict(zip(head, values, strict=False))
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield from csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    except (csv.Error, UnicodeDecodeError, ValueError, KeyError, OSError, EOFError) as error:
        raise BadData("the sheet", path.name, f"cannot be read ({error})", "save it again as CSV") from None
    except Exception as error:  # a damaged zip raises what it likes
        if type(error).__module__.split(".")[0] in ("zipfile", "openpyxl", "xml"):
            raise BadData("the sheet", path.name, f"cannot be read ({error})", "save it again as CSV") from None
        raise


def _cell(raw: dict[str, Any], names: tuple[str, ...]) -> str | None:
    for head, value in raw.items():
        if re.sub(r"[^a-z0-9]", "", str(head).lower()) in names and value is not None:
            text = str(value).strip()
            return None if text.lower() in ("", "n/a", "na", "nan", "none") else text
    return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _word(text: str | None) -> Literal["acute", "chronic", "unknown"]:
    word = (text or "").lower()
    return "chronic" if word.startswith("chronic") else "acute" if "acute" in word else "unknown"
