"""The folder of a served study: read anew when it changes, written only under its lock, brought up to date at last."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from insula.errors import BadData, CannotCreate, NoInput
from insula.io import OutputFolder
from insula.predict import refusal
from insula.report import Review
from insula.serve.study import StudyFolder, VerdictsDamaged
from insula.serve.study import folder as folder_module
from insula.study import FlatResults, earlier_records, layout, write_overview
from report.records import MASKS, done_record


def _write(folder: Path, record: Any) -> None:
    (folder / f"{record['case']}.json").write_text(json.dumps(record))


def _review(case: str, rater: str = "anna", verdict: str = "pass") -> Review:
    return Review(case=case, rater=rater, verdict=verdict, reviewed="2026-05-01T10:00:00Z", mask_sha256=MASKS[case])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two segmented cases, a refused one, and files that belong to nobody."""
    folder = tmp_path / "results"
    folder.mkdir()
    for record in (done_record("a"), done_record("b"), refusal("bad", BadData("a", "b", "c", "d"))):
        _write(folder, record)
    (folder / "results.json").write_text("{}")
    (folder / "notes.json").write_text('{"format": "another"}')
    return folder


@pytest.fixture
def study(results: Path, tmp_path: Path) -> StudyFolder:
    """The folder, served without scans; its tables are not written before something changes."""
    study = StudyFolder(results, views=tmp_path / "views")
    assert study._timer is not None
    study._timer.cancel()
    study._timer = None
    return study


def _verdict_of(results: Path, case: str) -> str:
    return _cell(results, case, "verdict")


def _cell(results: Path, case: str, column: str) -> str:
    with (results / "results.tsv").open(encoding="utf-8", newline="") as table:
        return {row["case"]: row[column] for row in csv.DictReader(table, delimiter="\t")}[case]


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="does not exist"):
        StudyFolder(tmp_path / "nowhere", views=tmp_path)
    with pytest.raises(NoInput, match="holds no results"):
        StudyFolder(tmp_path, views=tmp_path)


def test_it_grows_and_changes_while_it_is_served(
    study: StudyFolder, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, reads = [study.state()], list[str]()
    read = layout.read_record
    monkeypatch.setattr(layout, "read_record", lambda path: (reads.append(path.name), read(path))[1])
    assert set(study.records()) == {"a", "b", "bad"} and not reads
    _write(results, done_record("c"))
    states.append(study.state())
    assert set(study.records()) == {"a", "b", "bad", "c"} and reads == ["c.json"]
    _write(results, done_record("c", volume_ml=12.5))
    states.append(study.state())
    (results / "a.json").unlink()
    states.append(study.state())
    study.judge([_review("b")])
    states.append(study.state())
    assert len(set(states)) == 5 and states[-1] == study.state()
    assert "12.50" in study.index() and 'data-case="a"' not in study.index()


def test_tables_and_index_follow_and_at_the_latest_when_it_is_closed(
    study: StudyFolder, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_QUIET_S", 0.05)
    study.judge([_review("a")])
    deadline = time.monotonic() + 20
    while not (results / "index.html").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _verdict_of(results, "a") == "pass"
    monkeypatch.setattr(folder_module, "_QUIET_S", 1000.0)
    study.judge([_review("a", "ben", "fail"), _review("b", "ben", "fix")])
    study.close()
    assert (_verdict_of(results, "a"), _verdict_of(results, "b")) == ("fail", "fix")
    assert "data-served" not in (results / "index.html").read_text(encoding="utf-8")


def test_tables_wait_for_another_run_and_closing_does_not(
    study: StudyFolder, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_QUIET_S", 0.05)
    monkeypatch.setattr(folder_module, "_LATER_S", 0.05)
    monkeypatch.setattr(folder_module, "_PATIENCE_S", 0.05)
    study.judge([_review("a")])
    with OutputFolder(results, patience_s=5):
        time.sleep(0.5)
    deadline = time.monotonic() + 20
    while not (results / "results.tsv").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _verdict_of(results, "a") == "pass"
    study.judge([_review("b")])
    with OutputFolder(results, patience_s=5):
        study.close()
    assert [review.case for review in study.reviews()] == ["a", "b"]


def test_tables_that_a_killed_service_left_behind_are_right_after_the_next_start(results: Path, tmp_path: Path) -> None:
    write_overview(results, earlier_records(FlatResults(results)))
    _write(results, done_record("a", volume_ml=12.5))
    StudyFolder(results, views=tmp_path / "views").close()
    assert _cell(results, "a", "volume_ml") == "12.5"


def test_tables_that_could_not_be_written_are_tried_again(
    study: StudyFolder, results: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def on_a_full_disk(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        write_overview(*arguments)

    failure = CannotCreate("the output file", "results.tsv", "cannot be written", "free some space")
    failures = [failure, failure]
    monkeypatch.setattr(folder_module, "write_overview", on_a_full_disk)
    monkeypatch.setattr(folder_module, "_QUIET_S", 0.05)
    monkeypatch.setattr(folder_module, "_LATER_S", 0.05)
    study.judge([_review("a")])
    _wait(lambda: (results / "index.html").exists())
    assert _cell(results, "a", "verdict") == "pass" and caplog.text.count("CannotCreate") == 1
    failures.append(failure)
    monkeypatch.setattr(folder_module, "_LATER_S", 1000.0)
    study.judge([_review("b")])
    _wait(lambda: not failures and study._timer is not None)
    study.close()
    assert _cell(results, "b", "verdict") == "pass"


def test_a_record_of_an_earlier_version_takes_no_mask(study: StudyFolder, results: Path, tmp_path: Path) -> None:
    _write(results, {key: value for key, value in done_record("a").items() if key != "sha256"})
    with pytest.raises(NoInput, match="the record of a has no hashes of its files.*; segment the scan again"):
        study.correct("a", tmp_path / "mask.nii")


def test_a_record_that_names_a_file_elsewhere_gives_nothing_out(study: StudyFolder, results: Path) -> None:
    (results.parent / "outside_mask.nii.gz").write_bytes(b"secret")
    (results / "sub").mkdir()
    (results / "sub" / "x.html").write_text("secret")
    _write(results, done_record("c", files={"mask": "../outside_mask.nii.gz", "page": "sub/x.html", "prob": "."}))
    for name in ("../outside_mask.nii.gz", "sub/x.html", ".", "..", "", "a/../a.json"):
        with pytest.raises(NoInput, match="does not belong"):
            study.file(name)
    assert study.file("a.json") == (results / "a.json").resolve()


def test_a_refused_case_and_a_scan_that_was_not_given_are_named(study: StudyFolder) -> None:
    with pytest.raises(NoInput, match="is not a segmented case"):
        study.case("bad")
    with pytest.raises(NoInput, match="cannot be found without `scans`; start the service with them"):
        study.view("a")


def test_the_list_of_files_is_read_only_under_its_lock(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(dict[str, Any]):
        def items(self) -> Any:
            locked.append(study._reading.locked())
            return super().items()

    locked: list[bool] = []
    records = study.records()
    monkeypatch.setattr(study, "_read", Watched(study._read))
    monkeypatch.setattr(study, "records", lambda: records)
    study.file("a.json")
    study.state()
    assert locked == [True, True]


def test_the_board_says_which_files_were_passed_over(study: StudyFolder, results: Path) -> None:
    write_overview(results, study.records(), note="2 files were passed over.")
    assert "2 files were passed over." in study.index()
    (results / "review.tsv").write_text("x")
    assert "2 files were passed over. No verdicts are shown" in study.index()


def test_a_damaged_table_of_verdicts_is_told_from_a_wrong_verdict(study: StudyFolder, results: Path) -> None:
    (results / "review.tsv").write_text("x")
    with pytest.raises(VerdictsDamaged, match="review.tsv, column case: is missing"):
        study.judge([_review("a")])
    with pytest.raises(BadData, match="is on a case that this folder does not have") as wrong:
        study.judge([Review(case="c", rater="anna", verdict="pass", reviewed="2026-05-01", mask_sha256="")])
    assert not isinstance(wrong.value, VerdictsDamaged)
    assert (results / "review.tsv").read_text() == "x"
