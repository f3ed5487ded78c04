"""Reads facts about subjects from the sheets of a cohort: CSV, TSV or Excel, with varying column names."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from insula.cohort.roster import Roster
from insula.cohort.table import Known, Table, read_table
from insula.io.entities import entities_of
from insula.io.participants import count_names

__all__ = ["OTHER_SHEET", "SHEET", "SheetRow", "Sheets", "read_sheets"]

SHEET = re.compile(r"(metadata|participants).*\.(csv|tsv|xlsx|xls|ods|txt|numbers)$|_sessions\.tsv$", re.IGNORECASE)
"""Names of sheets, including those in formats that are skipped."""
OTHER_SHEET = re.compile(r"\.(csv|tsv|xlsx|xls|ods|numbers)$", re.IGNORECASE)
"""Names of other possible sheets; in the cohort's own folder they are reported as skipped."""
_READ = (".csv", ".tsv", ".xlsx")
_NAMES = {  # our name -> names in sheets, letters and digits only; more reliable names first
    "subject": (
        ("subjectid", "participantid", "bidsid", "subject"),
        (
            "participant",
            "participants",
            "subjects",
            "subid",
            "sub",
            "subj",
            "patientid",
            "patient",
            "caseid",
            "case",
            "id",
        ),
    ),
    "session": (("session", "sessionid"),),
    "site": (("siteid", "site", "centre", "center", "indisiteid"),),
    "days": (("dayspoststroke", "dayspoststrokescan", "dayssincestroke", "daysafterstroke"),),
    "chronicity": (("chronicity",),),
    "former": (("atlas12subjectid", "atlasr12subjectid"),),
}
_MISSING = ("", "n/a", "na", "nan", "none", "null", "-", "?")
_LABEL = re.compile(r"^(sub-[a-z0-9]+|\d{1,4})$", re.IGNORECASE)
_GROUPED = re.compile(r"^[+-]?[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*$")
_PLAIN = re.compile(r"^[+-]?\d*[.,]?\d+(?:e[+-]?\d+)?$", re.IGNORECASE)
_LONG = re.compile(r"^[+-]?\d{4,}([.,])\d+$")


@dataclass(frozen=True)
class SheetRow:
    """The facts about one subject or session."""

    site: str | None = None
    days: float | None = None
    """Days after the stroke as written, including 0 and negative values; None if missing or not a number."""
    chronicity: Literal["acute", "chronic", "unknown"] = "unknown"
    former: str | None = None

    def updated(self, other: SheetRow) -> SheetRow:
        """Return the facts of both rows; those of the other row take precedence."""
        return SheetRow(
            site=other.site or self.site,
            days=self.days if other.days is None else other.days,
            chronicity=self.chronicity if other.chronicity == "unknown" else other.chronicity,
            former=other.former or self.former,
        )


@dataclass(frozen=True)
class Sheets:
    """The combined content of all sheets."""

    rows: Mapping[tuple[str, str], SheetRow] = field(default_factory=dict)
    """(subject, session) -> facts; the session is empty for a row without one."""
    read: tuple[str, ...] = ()
    """How many cases each sheet covers, one line per sheet."""
    notes: tuple[str, ...] = ()
    """What was read in an unusual form, was not understood, or was skipped."""


@dataclass
class _Reading:
    """Counts for one sheet, or for all per-subject sheets of one kind."""

    matched: set[tuple[str, str]] = field(default_factory=set)
    how: set[str] = field(default_factory=set)
    no_id: bool = False
    no_facts: bool = True
    count: int = 0
    strangers: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    unread_days: set[str] = field(default_factory=set)
    empty: int = 0
    broken: int = 0


def read_sheets(paths: Sequence[Path], cases: Collection[tuple[str, str]] = ()) -> Sheets:
    """Read all sheets and match their rows to cases.

    Subjects are matched with or without `sub-`, ignoring case, and without the leading zeros that spreadsheets drop,
    where that is unambiguous. A fact on which the rows of a subject contradict each other is left out.

    Args:
        paths: the sheets.
        cases: (subject, session) of each case; if empty, every row counts as matched.

    Raises:
        BadData: a sheet cannot be read.
    """
    readings: dict[str, _Reading] = {}
    rows_of: dict[tuple[str, str], list[SheetRow]] = defaultdict(list)
    other = [path.name for path in paths if path.suffix.lower() not in _READ]
    roster = Roster(cases)
    for path in paths:
        if path.suffix.lower() in _READ:
            whose = entities_of(path.name) if path.name.startswith("sub-") else {}
            name = f"sub-*{path.name[path.name.rfind('_') :]}" if whose else path.name
            reading = readings.setdefault(name, _Reading())
            _read(read_table(path, _known(bool(whose))), whose, roster, reading, rows_of)
    rows, clashes = dict[tuple[str, str], SheetRow](), set[str]()
    for key, subject_rows in rows_of.items():
        rows[key], clash = _agreed(subject_rows)
        if clash:
            clashes.add(key[0])
    read, notes = list[str](), list[str]()
    for name, reading in readings.items():
        line = _line(name, reading, cases, roster)
        (notes if reading.how or reading.no_id or not reading.matched else read).append(line)
        notes += _notes(name, reading)
    if clashes:
        counted = count_names(sorted(clashes), "subject")
        notes.append(f"passed over: facts on which rows of {counted} in the sheets contradict each other")
    if other:
        notes.append(
            f"passed over: {count_names(other, 'sheet')} in a form that is not read; save as TSV, CSV or .xlsx"
        )
    return Sheets(rows, tuple(read), tuple(notes))


def _known(whose: bool) -> Known:
    """Return a score for header rows: a subject column counts most, unless the file name gives the subject."""

    def known(head: Sequence[str]) -> int:
        count = sum(_column(head, names) is not None for names in _NAMES.values())
        return count + (10 if not whose and _column(head, _NAMES["subject"]) is not None else 0)

    return known


def _column(head: Sequence[str], names: Sequence[Sequence[str]]) -> str | None:
    bare = [re.sub(r"\(.*?\)|\[.*?\]|[^a-z0-9]", "", str(cell).lower()) for cell in head]  # without the unit
    for accepted in names:
        for cell, word in zip(head, bare, strict=True):
            if word in accepted:
                return cell
    return None


def _read(
    table: Table,
    whose: Mapping[str, str],
    roster: Roster,
    reading: _Reading,
    rows_of: dict[tuple[str, str], list[SheetRow]],
) -> None:
    columns = {key: _column(table.head, names) for key, names in _NAMES.items()}
    reading.how |= set(table.how)
    reading.broken += table.broken
    reading.count += 1
    reading.no_facts &= not any(columns[key] for key in ("site", "days", "chronicity"))
    if columns["subject"] is None and not whose:
        reading.no_id = True
        return
    written = [_cell(raw.get(columns["subject"])) for raw in table.rows] if columns["subject"] else []
    exact = {key[0] for label in written if label and roster.knows(label) and (key := roster.find(label, ""))}
    decimal = _decimal_marks(table, columns["days"])
    for number, raw in enumerate(table.rows, 1):
        cells = {key: None if head is None else _cell(raw.get(head)) for key, head in columns.items()}
        subject, session = cells["subject"], cells["session"]
        if subject is None and whose:
            subject, session = f"sub-{whose.get('sub', '')}", whose.get("ses", session)
        if subject is None:
            reading.empty += 1
            continue
        key = roster.find(subject, session or "")
        if key is None or (key[0] in exact and not roster.knows(subject)):
            shown = subject if _LABEL.match(subject) else f"row {number}"  # any other text may be a person's name
            (reading.unclear if roster.unclear(subject) else reading.strangers).append(shown)
            continue
        reading.matched.add(key)
        if roster.lost_zeros(subject, key[0]):
            reading.how.add("with the zeros that its participants lack")
        days = _number(raw.get(columns["days"] or ""), cells["days"], decimal)
        if days is None and cells["days"] is not None:
            reading.unread_days.add(key[0])
        rows_of[key].append(SheetRow(cells["site"], days, _word(cells["chronicity"]), cells["former"]))


def _line(name: str, reading: _Reading, cases: Collection[tuple[str, str]], roster: Roster) -> str:
    covered = roster.covered(reading.matched)
    of = len(cases) or covered
    how = f", read {' '.join(sorted(reading.how))}" if reading.how else ""
    many = f"{reading.count} sheets named {name}" if reading.count > 1 else name
    why = ": no column of a site, days after the stroke or chronicity" if reading.no_facts else ""
    why = ": no participant_id column" if reading.no_id else why
    return f"{covered} of {of} case{'' if of == 1 else 's'} found in {many}{how}{why}"


def _notes(name: str, reading: _Reading) -> list[str]:
    notes = []
    for rows, why in (
        (reading.strangers, "that no case of the cohort belongs to"),
        (reading.unclear, "that fit several subjects"),
    ):
        if rows:
            notes.append(f"passed over: {count_names(rows, 'row')} of {name} {why}")
    for count, why in ((reading.empty, "without a participant"), (reading.broken, "of another length than the head")):
        if count:
            notes.append(f"passed over: {count} row{'' if count == 1 else 's'} of {name} {why}")
    if reading.unread_days:
        counted = count_names(sorted(reading.unread_days), "subject")
        notes.append(
            f"days after the stroke in {name} are unknown for {counted}: not a number, or one with a mark that may "
            "stand for thousands or decimals"
        )
    return notes


def _agreed(rows: list[SheetRow]) -> tuple[SheetRow, bool]:
    """Merge the rows of one subject, leaving out contradictory facts; also return whether there were any."""
    nothing, kept, clash = SheetRow(), {}, False
    for fact in fields(SheetRow):
        values = {getattr(row, fact.name) for row in rows} - {getattr(nothing, fact.name)}
        kept[fact.name] = values.pop() if len(values) == 1 else getattr(nothing, fact.name)
        clash |= len(values) > 1
    return SheetRow(**kept), clash


def _cell(value: object) -> str | None:
    text = "" if value is None else str(value).strip().strip('"').strip()
    return None if text.lower() in _MISSING else text


def _decimal_marks(table: Table, column: str | None) -> set[str]:
    """Return the marks that certainly separate decimals, as in 1200.000: no thousands mark follows four digits."""
    cells = [str(row.get(column) or "").strip() for row in table.rows] if column else []
    return {match.group(1) for cell in cells if (match := _LONG.match(cell))}


def _number(raw: object, text: str | None, decimal: set[str]) -> float | None:
    """Parse a number in any country's notation; None where it is ambiguous, e.g. 1.200 for 1200 or 1.2."""
    if text is None:
        return None
    if isinstance(raw, (int, float)):
        return float(raw) if math.isfinite(raw) else None
    text = re.sub(r"(?<=\d)[ '\u00a0\u2009\u202f\u2019](?=\d{3}(?:\D|$))", "", text)
    if "," in text and "." in text:  # the later mark separates the decimals
        thousands = "." if text.rfind(",") > text.rfind(".") else ","
        whole, _, rest = text.partition("," if thousands == "." else ".")
        if not re.match(r"^[+-]?\d{1,3}(?:[.,]\d{3})+$", whole):
            return None
        text = f"{whole.replace(thousands, '')}.{rest}"
    elif (grouped := _GROUPED.match(text)) and grouped.group(1) not in decimal:
        return None
    if not _PLAIN.match(text):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def _word(text: str | None) -> Literal["acute", "chronic", "unknown"]:
    word = (text or "").lower()
    return "chronic" if word.startswith("chronic") else "acute" if "acute" in word else "unknown"
