"""The tables and the index of a folder: the same, case by case, as if written at once; and the note stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import insula.study.overview
from cli.call import call
from corpus.files import nifti, packed
from insula.errors import BadData
from insula.predict import CaseRecord, refusal
from insula.report import Review, note_of
from insula.study import FlatResults, Overview, review_study, write_overview, write_reviews
from report.records import MASKS, done_record

Capture = pytest.CaptureFixture[str]
NOTE = '2 of 5 files passed over: 2 "others" <not T1w> & more. Name a file to segment it.'
TABLES = ("results.tsv", "results.json", "lesions.tsv", "lesions.json", "index.html")


def _page(folder: Path, case: str, picture: str) -> None:
    address = f"data:image/png;base64,{picture}"
    (folder / f"{case}.html").write_text(f'<meta name="thumbnail" content="{address}">', encoding="utf-8")


def _written(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text(encoding="utf-8") for name in TABLES}


def _at_once(folder: Path, records: Mapping[str, CaseRecord]) -> dict[str, str]:
    write_overview(folder, records, note=NOTE)
    return _written(folder)


def test_an_overview_that_grows_and_changes_equals_one_written_at_once(tmp_path: Path) -> None:
    overview, records = Overview(tmp_path, note=NOTE), dict[str, CaseRecord]()
    steps: list[CaseRecord] = [
        done_record("b"),
        done_record("a", volume_ml=7.0),
        refusal("c", BadData("the scan", "c", "is damaged", "send it again")),
        done_record("b", volume_ml=2.0, lesions=[]),  # segmented again
        done_record("c"),
        refusal("a", BadData("the scan", "a", "is damaged", "send it again")),
    ]
    for n, record in enumerate(steps):
        _page(tmp_path, record["case"], f"AAA{n}")
        records[record["case"]] = record
        overview.add(record)
        overview.write()
        assert _written(tmp_path) == _at_once(tmp_path, records), n
    review = Review(case="b", rater="anna", verdict="fix", reviewed="2026-05-01", mask_sha256=MASKS["b"])
    for reviews in ([review], []):  # a verdict comes, and goes
        write_reviews(tmp_path, reviews)
        overview.write()
        assert _written(tmp_path) == _at_once(tmp_path, records)
        assert ("fix\tanna" in (tmp_path / "results.tsv").read_text(encoding="utf-8")) == bool(reviews)


def test_only_the_case_that_is_new_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    thumbnail = insula.study.overview.thumbnail_of
    monkeypatch.setattr(insula.study.overview, "thumbnail_of", lambda page: seen.append(page.stem) or thumbnail(page))
    overview = Overview(tmp_path, {case: done_record(case) for case in "abc"})
    overview.write()
    assert sorted(seen) == ["a", "b", "c"]
    seen.clear()
    overview.add(done_record("d"))
    overview.write()
    assert seen == ["d"]


def test_records_are_read_again_only_if_their_files_changed(tmp_path: Path) -> None:
    overview, files = Overview(tmp_path), {case: tmp_path / f"{case}.json" for case in "ab"}
    for case, path in files.items():
        path.write_text(json.dumps(done_record(case)), encoding="utf-8")
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    assert overview.read(FlatResults(tmp_path)) == 2
    overview.write()
    files["a"].write_text(json.dumps(done_record("a", volume_ml=43.25)), encoding="utf-8")
    files["b"].unlink()
    assert overview.read(FlatResults(tmp_path)) == 1
    overview.write()
    lines = (tmp_path / "results.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 and "43.25" in lines[1]


def test_the_note_of_passed_over_files_outlives_a_review_and_a_correction(
    tmp_path: Path, tiny_weights: Path, capsys: Capture
) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for name in ("sub-a_T1w", "sub-a_FLAIR"):
        (scans / f"{name}.nii.gz").write_bytes(packed(nifti()))
    options = ("--out", out, "--weights", tiny_weights, "--device", "cpu")
    call(capsys, "segment", scans, *options)
    note, words = note_of(out / "index.html"), "1 of 2 files passed over: 1 not T1w by their names (sub-a_FLAIR.nii.gz)"
    assert note.startswith(words)
    call(capsys, "review", out)
    assert note_of(out / "index.html") == note
    (out / "sub-a_T1w_corrected.nii.gz").write_bytes((out / "sub-a_T1w_mask.nii.gz").read_bytes())
    (out / "sub-a_T1w_mask.nii.gz").unlink()
    assert call(capsys, "correct", out, scans).code == 0
    html = (out / "index.html").read_text(encoding="utf-8")
    assert note_of(out / "index.html") == note and f'<p class="soft">{words}' in html
    call(capsys, "segment", scans / "sub-a_T1w.nii.gz", *options)  # nothing is passed over now
    assert note_of(out / "index.html") == ""


def test_a_problem_with_the_verdicts_is_shown_beside_the_note_and_goes_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(done_record("a")), encoding="utf-8")
    table = tmp_path / "review.tsv"
    table.write_text("nonsense", encoding="utf-8")
    write_overview(tmp_path, {"a": done_record("a")}, note=NOTE)
    assert "No verdicts are shown: " in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert note_of(tmp_path / "index.html") == NOTE
    table.unlink()
    review_study(tmp_path)
    assert "No verdicts are shown: " not in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert note_of(tmp_path / "index.html") == NOTE
    (tmp_path / "index.html").unlink()
    assert note_of(tmp_path / "index.html") == ""
