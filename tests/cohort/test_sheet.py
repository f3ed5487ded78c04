"""Sheets beside a cohort, whatever their format and their columns' names."""

from __future__ import annotations

from pathlib import Path

import pytest
from openpyxl import Workbook

from insula.cohort.sheet import read_sheets
from insula.errors import BadData

_ROWS = [
    ("Site ID", "Subject ID", "Session", "Days Post Stroke", "Chronicity", "ATLAS 1.2 Subject ID"),
    ("R001", "sub-r001s001", "ses-1", 400, "Chronic", None),
    ("R001", "r001s002", 2, 0, "Sub-acute", 31768),
    ("R002", "sub-r002s001", "ses-1", None, "n/a", "n/a"),
]


def _save(path: Path) -> Path:
    if path.suffix == ".xlsx":
        book = Workbook()
        for row in _ROWS:
            book.active.append(row)
        book.save(path)
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join("" if cell is None else str(cell) for cell in row) for row in _ROWS]
        path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".xlsx"])
def test_the_same_rows_from_every_format(ending: str, tmp_path: Path) -> None:
    rows = read_sheets([_save(tmp_path / f"20220425_ATLAS_2.0_MetaData{ending}")])
    assert set(rows) == {("sub-r001s001", "ses-1"), ("sub-r001s002", "ses-2"), ("sub-r002s001", "ses-1")}
    first, second, third = rows.values()
    assert (first.site, first.days, first.chronicity, first.former) == ("R001", 400, "chronic", None)
    assert (second.days, second.chronicity, second.former) == (0, "acute", "31768")
    assert (third.days, third.chronicity, third.former) == (None, "unknown", None)


@pytest.mark.parametrize("name", ["participants.xlsx", "participants.csv"])
def test_a_damaged_sheet_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04\xff\xfe" + b"\x80" * 64)
    with pytest.raises(BadData, match=name):
        read_sheets([path])


def test_a_sheet_without_subjects_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    path.write_text("age\tsex\n61\tF\n")
    assert read_sheets([path]) == {}


def test_sheets_complete_each_other(tmp_path: Path) -> None:
    first, second = tmp_path / "participants.tsv", tmp_path / "study_metadata.csv"
    first.write_text("participant_id\tsession_id\tsite\nsub-1\t1\tLyon\n")
    second.write_text("subject,session,days_post_stroke\nsub-1,1.0,12\n")  # as a spreadsheet writes 1
    for order in ([first, second], [second, first]):
        rows = read_sheets(order)
        assert set(rows) == {("sub-1", "ses-1")}
        assert (rows["sub-1", "ses-1"].site, rows["sub-1", "ses-1"].days) == ("Lyon", 12)
