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
    rows = read_sheets([_save(tmp_path / f"20220425_ATLAS_2.0_MetaData{ending}")]).rows
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
    sheets = read_sheets([path], [("sub-1", "")])
    assert sheets.rows == {}
    assert sheets.notes == ("0 of 1 case found in participants.tsv: no participant_id column",)


def test_sheets_complete_each_other(tmp_path: Path) -> None:
    first, second = tmp_path / "participants.tsv", tmp_path / "study_metadata.csv"
    first.write_text("participant_id\tsession_id\tsite\nsub-1\t1\tLyon\n")
    second.write_text("subject,session,days_post_stroke\nsub-1,1.0,12\n")  # as a spreadsheet writes 1
    for order in ([first, second], [second, first]):
        rows = read_sheets(order).rows
        assert set(rows) == {("sub-1", "ses-1")}
        assert (rows["sub-1", "ses-1"].site, rows["sub-1", "ses-1"].days) == ("Lyon", 12)


_CASES = [("sub-01", ""), ("sub-02", ""), ("sub-03", "")]
_HEAD = ("participant_id", "site", "days_post_stroke")
_PEOPLE = [("sub-01", "A", "200"), ("sub-02", "A", "20"), ("sub-03", "B", "400")]


def _text(mark: str, rows: list[tuple[str, ...]] = _PEOPLE, head: tuple[str, ...] = _HEAD) -> str:
    return "\n".join(mark.join(cells) for cells in (head, *rows)) + "\n"


def _renamed(*names: str) -> list[tuple[str, ...]]:
    return [(name, *row[1:]) for name, row in zip(names, _PEOPLE, strict=True)]


@pytest.mark.parametrize(
    ("name", "data", "how"),
    [
        ("participants.tsv", _text("\t"), ""),
        ("participants.csv", _text(","), ""),
        ("participants.csv", _text(";"), "with semicolons"),
        ("participants.csv", "sep=;\n" + _text(";"), "with semicolons"),
        ("participants.csv", _text("\t"), "with tabs"),
        ("participants.tsv", _text(","), "with commas"),
        ("participants.tsv", _text("|"), "with bars"),
        ("participants.tsv", _text("   "), "with spaces"),
        ("participants.tsv", _text(" "), "with spaces"),
        ("participants.tsv", _text("\t").replace("\n", "\r"), ""),
        ("participants.tsv", "\ufeff" + _text("\t"), ""),
        ("participants.tsv", "Study of strokes\t\t\n\n" + _text("\t") + "\t\t\n" + "\t".join(_HEAD) + "\n", ""),
        ("participants.tsv", _text("\t", _renamed("01", "02", "03")), ""),
        ("participants.tsv", _text("\t", _renamed("SUB-01", "Sub-02", "sub-03")), ""),
        ("participants.tsv", _text("\t", _renamed("1", "2", "3")), "with the zeros that its participants lack"),
        ("participants.tsv", _text("\t", _renamed("sub01", "Sub_02", "sub 03")), ""),
        ("participants.tsv", _text("\t", _renamed("1.0", "2.0", "3.0")), "with the zeros that its participants lack"),
        (
            "participants.tsv",
            _text("\t", [(*_PEOPLE[0], 'coil 12"'), (*_PEOPLE[1], '"open'), (*_PEOPLE[2], "x")], (*_HEAD, "note")),
            "",
        ),
        ("participants.tsv", _text("\t", [('"sub-01"', '"A"', '"200"'), *_PEOPLE[1:]]), ""),
        (
            "participants.csv",
            _text(",", [(*_PEOPLE[0], '"one,\ntwo"'), (*_PEOPLE[1], "y"), (*_PEOPLE[2], "x")], (*_HEAD, "note")),
            "",
        ),
        ("participants.tsv", _text("\t", [*_PEOPLE, _PEOPLE[0]]), ""),
        ("participants.tsv", _text("\t", head=("ID", "Centre", "Days post-stroke (d)")), ""),
    ],
)
def test_sheets_as_people_save_them_are_understood(name: str, data: str, how: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(data, encoding="utf-8", newline="")
    sheets = read_sheets([tmp_path / name], _CASES)
    assert {who: (row.site, row.days) for (who, _), row in sheets.rows.items()} == {
        "sub-01": ("A", 200),
        "sub-02": ("A", 20),
        "sub-03": ("B", 400),
    }
    assert (*sheets.read, *sheets.notes) == (f"3 of 3 cases found in {name}" + (f", read {how}" if how else ""),)


@pytest.mark.parametrize(
    ("encoding", "how"),
    [
        ("latin-1", "as Latin-1"),
        ("cp1252", "as Latin-1"),
        ("utf-16", "as UTF-16"),
        ("utf-16-le", "as UTF-16"),
        ("utf-16-be", "as UTF-16"),
    ],
)
def test_other_encodings_are_read_and_told(encoding: str, how: str, tmp_path: Path) -> None:
    rows = [(row[0], "Zürich", row[2]) for row in _PEOPLE]
    (tmp_path / "participants.csv").write_bytes(_text(";", rows).encode(encoding))
    sheets = read_sheets([tmp_path / "participants.csv"], _CASES)
    assert {row.site for row in sheets.rows.values()} == {"Zürich"}
    assert sheets.notes == (f"3 of 3 cases found in participants.csv, read {how} with semicolons",)


@pytest.mark.parametrize(
    ("days", "read"),
    [
        ("1.200", None),
        ("1,200", None),
        ("12.500", None),
        ("1.200.300", None),
        ("1.200,5", 1200.5),
        ("1,200.5", 1200.5),
        ("12,5", 12.5),
        ("12.5", 12.5),
        ("0.500", 0.5),
        ("1 200", 1200),
        ("1'200", 1200),
        ("1\u00a0200", 1200),
        ("> 180", None),
        ("1e3", 1000),
        ("-3", -3),
        ("about 20", None),
        ("1,2,3", None),
        ("n/a", None),
    ],
)
def test_days_are_never_guessed(days: str, read: float | None, tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    path.write_text(_text("\t", [("sub-01", "A", days), *_PEOPLE[1:]]), encoding="utf-8")
    sheets = read_sheets([path], _CASES)
    assert sheets.rows["sub-01", ""].days == read
    unknown = [note for note in sheets.notes if "are unknown for 1 subject (sub-01)" in note]
    assert bool(unknown) == (read is None and days != "n/a")
    assert not any(days in note for note in sheets.notes)


def test_a_column_that_writes_1200_dot_000_has_decimals(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    path.write_text(_text("\t", [("sub-01", "A", "1200.000"), ("sub-02", "A", "20.000"), ("sub-03", "B", "400.000")]))
    assert [row.days for row in read_sheets([path], _CASES).rows.values()] == [1200, 20, 400]


def test_what_is_passed_over_is_counted_and_named(tmp_path: Path) -> None:
    path, other = tmp_path / "participants.tsv", tmp_path / "participants.xls"
    other.touch()
    rows = [*_PEOPLE[:2], ("sub-09", "C", "3"), ("Doe, Jane", "C", "3"), ("", "C", "3"), ("sub-03", "B", "4", "0", "x")]
    path.write_text(_text("\t", rows))
    sheets = read_sheets([path, other], _CASES)
    assert (*sheets.read, *sheets.notes) == (
        "2 of 3 cases found in participants.tsv",
        "passed over: 2 rows (row 4, sub-09) of participants.tsv that no case of the cohort belongs to",
        "passed over: 1 row of participants.tsv without a participant",
        "passed over: 1 row of participants.tsv of another length than the head",
        "passed over: 1 sheet (participants.xls) in a form that is not read; save as TSV, CSV or .xlsx",
    )


def test_zeros_are_put_back_only_where_one_subject_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    path.write_text(_text("\t", _renamed("1", "2", "3")))
    sheets = read_sheets([path], [("sub-01", ""), ("sub-001", ""), ("sub-2", ""), ("sub-02", "")])
    assert set(sheets.rows) == {("sub-2", "")}
    assert "passed over: 1 row (1) of participants.tsv that fit several subjects" in sheets.notes
    path.write_text(_text("\t", _renamed("1", "01", "2")))  # a row of the subject's own name goes before
    sheets = read_sheets([path], [("sub-01", ""), ("sub-02", "")])
    assert sheets.rows["sub-01", ""].days == 20


def test_rows_that_contradict_each_other_say_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    path.write_text(_text("\t", [*_PEOPLE, ("sub-01", "A", "5")]))
    sheets = read_sheets([path], _CASES)
    assert (sheets.rows["sub-01", ""].site, sheets.rows["sub-01", ""].days) == ("A", None)
    assert "passed over: facts on which rows of 1 subject (sub-01) in the sheets contradict each other" in sheets.notes


def test_sessions_are_found_without_their_zeros_too(tmp_path: Path) -> None:
    path = tmp_path / "participants.csv"
    path.write_text("id,session,site\n1,1.0,A\n1,SES-2,B\n1,9,C\n")
    sheets = read_sheets([path], [("sub-01", "ses-01"), ("sub-01", "ses-02")])
    assert {key: row.site for key, row in sheets.rows.items()} == {("sub-01", "ses-01"): "A", ("sub-01", "ses-02"): "B"}
    assert "passed over: 1 row (1) of participants.csv that no case of the cohort belongs to" in sheets.notes
    path.write_text("id,site\nsub-01_ses-02,A\n")
    assert set(read_sheets([path], [("sub-01", "ses-01"), ("sub-01", "ses-02")]).rows) == {("sub-01", "ses-02")}


def test_an_empty_sheet_is_told(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").touch()
    sheets = read_sheets([tmp_path / "participants.tsv"], _CASES)
    assert sheets.notes == ("0 of 3 cases found in participants.tsv: no participant_id column",)


def test_a_sheet_without_a_column_of_use_is_told(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t61\n")
    assert read_sheets([tmp_path / "participants.tsv"], _CASES).read == (
        "1 of 3 cases found in participants.tsv: no column of a site, days after the stroke or chronicity",
    )
