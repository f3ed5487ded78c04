"""`insula review`: progress and agreement in words, and every refusal in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.call import call
from insula.report import Review
from insula.study import write_reviews
from report.records import MASKS, done_record

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    for case in "abc":
        (folder / f"{case}.json").write_text(json.dumps(done_record(case)))
    return folder


def _table(tmp_path: Path, rater: str, verdicts: dict[str, str]) -> Path:
    folder = tmp_path / rater
    folder.mkdir()
    rows = [
        Review(case=case, rater=rater, verdict=verdict, reviewed="2026-05-01", mask_sha256=MASKS.get(case, ""))
        for case, verdict in verdicts.items()
    ]
    write_reviews(folder, rows)
    return folder / "review.tsv"


def test_progress_and_agreement_are_printed(results: Path, tmp_path: Path, capsys: Capture) -> None:
    anna = _table(tmp_path, "anna", {"a": "pass", "b": "fix", "elsewhere": "pass"})
    ben = _table(tmp_path, "ben", {"a": "pass", "b": "fail"})
    cleo = _table(tmp_path, "cleo", {"c": "pass"})
    result = call(capsys, "review", results, anna, ben, cleo)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "3 of 3 cases reviewed: 2 pass, 1 fail (by anna 2, ben 2, cleo 1)"
    assert lines[1] == "anna and ben: 2 cases in common, raw agreement 0.50, Cohen's kappa 0.33"
    assert lines[2] == "anna and cleo: no case in common"
    assert lines[-1] == str(results / "index.html")
    assert "not in the folder: 1 (elsewhere)" in result.err


def test_one_rater_alone_and_none_yet(results: Path, tmp_path: Path, capsys: Capture) -> None:
    assert call(capsys, "review", results).out.splitlines()[0] == "0 of 3 cases reviewed"
    assert not (results / "review.tsv").exists()
    anna = _table(tmp_path, "anna", {"a": "pass"})
    assert call(capsys, "review", results, anna).out.splitlines() == [
        "1 of 3 cases reviewed: 1 pass (by anna 1)",
        str(results / "index.html"),
    ]
    ben = _table(tmp_path, "ben", {"a": "pass"})
    out = call(capsys, "review", results, ben).out
    assert "1 case in common, raw agreement 1.00, Cohen's kappa undefined (one verdict throughout)" in out


@pytest.mark.parametrize("damage", ["verdict", "no folder", "no table"])
def test_a_refusal_is_one_line_with_its_code(damage: str, results: Path, tmp_path: Path, capsys: Capture) -> None:
    table = _table(tmp_path, "anna", {"a": "pass"})
    if damage == "verdict":
        table.write_text(table.read_text().replace("pass", "perhaps"))
        result = call(capsys, "review", results, table)
        assert (result.code, "review.tsv, row 1, column verdict: perhaps" in result.err) == (65, True)
    elif damage == "no folder":
        result = call(capsys, "review", tmp_path / "none", table)
        assert (result.code, "does not exist" in result.err) == (66, True)
    else:
        result = call(capsys, "review", results, tmp_path / "none.tsv")
        assert (result.code, "none.tsv does not exist" in result.err) == (66, True)
    assert len(result.err.splitlines()) == 1
