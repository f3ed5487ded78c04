"""Review of a study: verdicts are merged, counted and compared, and nothing is lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from cli.call import call
from corpus.files import nifti, packed
from insula.errors import BadData, InsulaError, NoInput
from insula.io import OutputFolder
from insula.predict import CaseRecord, bids_case_paths, refusal
from insula.report import Review
from insula.study import add_reviews, read_reviews, review_study, summarize_reviews, write_overview, write_reviews
from insula.study.review import agreements
from report.records import MASKS, done_record

CASES = ("a", "b", "c")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with the records of three segmented cases and a refused one."""
    folder = tmp_path / "results"
    folder.mkdir()
    records: list[CaseRecord] = [*map(done_record, CASES), refusal("bad", BadData("a", "b", "c", "d"))]
    for record in records:
        (folder / f"{record['case']}.json").write_text(json.dumps(record))
    return folder


def _review(case: str, rater: str, verdict: str, *, day: int = 1, mask: str = "") -> Review:
    mask = mask or MASKS.get(case, "1" * 64)
    return Review(case=case, rater=rater, verdict=verdict, reviewed=f"2026-05-{day:02}", mask_sha256=mask)


def _table(folder: Path, *reviews: Review) -> Path:
    folder.mkdir(exist_ok=True)
    write_reviews(folder, reviews)
    return folder / "review.tsv"


def _rows(results: Path) -> dict[str, dict[str, str]]:
    with (results / "results.tsv").open(encoding="utf-8", newline="") as table:
        return {row["case"]: row for row in csv.DictReader(table, delimiter="\t")}


def test_tables_of_two_raters_are_merged_counted_and_shown(results: Path, tmp_path: Path) -> None:
    anna = _table(tmp_path / "anna", *(_review(case, "anna", "pass") for case in CASES))
    ben = _table(tmp_path / "ben", _review("a", "ben", "pass"), _review("b", "ben", "fail", day=2))
    summary = review_study(results, [anna, ben])
    assert (summary.reviewed, summary.cases, summary.outdated) == (3, 3, 0)
    assert summary.verdicts == {"pass": 2, "fail": 1}
    assert summary.raters == {"anna": 3, "ben": 2}
    agreement = summary.agreements["anna", "ben"]
    assert (agreement.n, agreement.observed, agreement.kappa) == (2, 0.5, 0)
    rows = _rows(results)
    assert {case: (rows[case]["verdict"], rows[case]["raters"]) for case in rows} == {
        "a": ("pass", "anna; ben"),
        "b": ("fail", "anna; ben"),
        "c": ("pass", "anna"),
        "bad": ("", ""),
    }
    assert "3 of 3 reviewed" in (results / "index.html").read_text()
    assert (results / "review.json").is_file()


def test_a_newer_verdict_replaces_the_older_one_and_only_that(results: Path, tmp_path: Path) -> None:
    first = _table(tmp_path / "1", _review("a", "anna", "pass", day=2), _review("b", "anna", "pass"))
    second = _table(tmp_path / "2", _review("a", "anna", "fail", day=1), _review("b", "anna", "fix", day=3))
    review_study(results, [first])
    review_study(results, [second])
    assert [review.verdict for review in read_reviews(results / "review.tsv")] == ["pass", "fix"]
    before = (results / "review.tsv").read_bytes()
    assert review_study(results, [first, second]).verdicts == {"pass": 1, "fix": 1}
    assert (results / "review.tsv").read_bytes() == before


def test_a_changed_mask_makes_its_verdict_outdated(results: Path, tmp_path: Path) -> None:
    review_study(results, [_table(tmp_path / "1", _review("a", "anna", "pass"), _review("b", "anna", "pass"))])
    (results / "a.json").write_text(json.dumps(done_record("a", mask_sha256="9" * 64)))
    summary = review_study(results)
    assert (summary.reviewed, summary.outdated, summary.raters) == (1, 1, {"anna": 1})
    assert _rows(results)["a"]["verdict"] == "outdated"
    assert len(read_reviews(results / "review.tsv")) == 2


@pytest.mark.parametrize("which", ["given", "own"])
def test_a_malformed_table_changes_nothing(which: str, results: Path, tmp_path: Path) -> None:
    good = _table(tmp_path / "1", _review("a", "anna", "pass"))
    review_study(results, [good])
    bad = tmp_path / "bad.tsv" if which == "given" else results / "review.tsv"
    bad.write_text(good.read_text().replace("pass", "perhaps"))
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    with pytest.raises(BadData, match=r"row 1, column verdict: perhaps"):
        review_study(results, [_table(tmp_path / "2", _review("b", "anna", "fail")), bad])
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before


def test_a_table_of_another_study_is_refused_and_single_strangers_are_named(results: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="holds no verdict on a case of this folder"):
        review_study(results, [_table(tmp_path / "1", _review("elsewhere", "anna", "pass"))])
    mixed = _table(tmp_path / "2", _review("elsewhere", "anna", "pass"), _review("a", "anna", "pass"))
    assert review_study(results, [mixed]).unknown == ("elsewhere",)
    assert len(read_reviews(results / "review.tsv")) == 2


def test_no_results_are_no_study(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="does not exist"):
        review_study(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInput, match="holds no results"):
        review_study(tmp_path / "empty")


def test_a_folder_that_a_run_is_writing_is_left_alone(results: Path, tmp_path: Path) -> None:
    table = _table(tmp_path / "1", _review("a", "anna", "pass"))
    with OutputFolder(results), pytest.raises(InsulaError, match="is being written by another run"):
        review_study(results, [table])
    assert not (results / "review.tsv").exists()


def test_records_of_a_bids_derivative_are_found(tmp_path: Path) -> None:
    record = bids_case_paths("sub-a", tmp_path).record
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(done_record("sub-a")))
    assert review_study(tmp_path).cases == 1


def test_a_later_overview_keeps_the_verdicts_and_says_if_it_cannot_read_them(results: Path, tmp_path: Path) -> None:
    review_study(results, [_table(tmp_path / "1", _review("a", "anna", "fix"))])
    table = results / "review.tsv"
    records: dict[str, CaseRecord] = {case: done_record(case) for case in (*CASES, "d")}
    write_overview(results, records)
    assert _rows(results)["a"]["verdict"] == "fix"
    assert "1 of 4 reviewed" in (results / "index.html").read_text()
    table.write_text(table.read_text().replace("fix", "perhaps"))
    write_overview(results, records, note="A note.")
    html = (results / "index.html").read_text()
    assert "A note. No verdicts are shown: review.tsv, row 1, column verdict: perhaps is not a verdict" in html
    assert "perhaps" in table.read_text()


def test_raters_are_compared_on_the_same_mask_only() -> None:
    reviews = [
        _review("a", "anna", "pass"),
        _review("a", "ben", "pass", mask="0" * 64),
        _review("b", "anna", "pass"),
        _review("b", "ben", ""),
        _review("c", "cleo", "fix"),
        _review("c", "anna", "fix"),
    ]
    pairs = agreements(reviews)
    assert {pair: agreement.n for pair, agreement in pairs.items()} == {
        ("anna", "ben"): 0,
        ("anna", "cleo"): 1,
        ("ben", "cleo"): 0,
    }
    assert summarize_reviews({}, reviews).cases == 0


def test_a_segmented_folder_is_reviewed_and_segmented_further(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scans").mkdir()
    scan, out = tmp_path / "scans" / "a.nii.gz", tmp_path / "out"
    scan.write_bytes(packed(nifti()))
    command = ("segment", tmp_path / "scans", "--out", out, "--device", "cpu", "--weights", tiny_weights)
    call(capsys, *command)
    mask = json.loads((out / "a.json").read_text())["sha256"]["mask"]
    assert '<img src="data:image/png;base64,' in (out / "index.html").read_text()
    table = _table(tmp_path / "1", _review("a", "anna", "pass", mask=mask))
    assert review_study(out, [table]).reviewed == 1
    scan.with_name("b.nii.gz").write_bytes(packed(nifti()))
    call(capsys, *command)
    assert {case: row["verdict"] for case, row in _rows(out).items()} == {"a": "pass", "b": ""}
    assert "1 of 2 reviewed" in (out / "index.html").read_text()
    call(capsys, *command, "--threshold", "0.9")
    assert _rows(out)["a"]["verdict"] in {"pass", "outdated"}  # another threshold may give the same mask
    assert len(read_reviews(out / "review.tsv")) == 1


def test_verdicts_are_added_one_by_one_as_insula_review_merges_them(results: Path, tmp_path: Path) -> None:
    added = [_review("a", "anna", "pass"), _review("a", "ben", "fix"), _review("a", "anna", "fail", day=2)]
    for review in added:
        add_reviews(results, [review])
    one_by_one = (results / "review.tsv").read_bytes()
    (results / "review.tsv").unlink()
    review_study(results, [_table(tmp_path / f"rater{n}", review) for n, review in enumerate(added)])
    assert (results / "review.tsv").read_bytes() == one_by_one
    assert [review.rater for review in add_reviews(results, [_review("a", "anna", "", day=3)])] == ["ben"]


def test_verdicts_are_not_added_to_a_malformed_table(results: Path) -> None:
    (results / "review.tsv").write_text("case\n")
    with pytest.raises(BadData, match=r"review\.tsv"):
        add_reviews(results, [_review("a", "anna", "pass")])
    assert (results / "review.tsv").read_text() == "case\n"
