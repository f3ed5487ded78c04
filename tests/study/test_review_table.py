"""The table of verdicts: there and back, strict to read, and newer verdicts win."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insula.errors import BadData, NoInput
from insula.report import Review
from insula.study import merge_reviews, read_reviews, write_reviews

HEAD = "case\trater\tverdict\tnote\treviewed\tmask_sha256"
GOOD = ["a", "anna", "pass", "", "2026-05-01T10:00:00Z", "1" * 64]


def _write(path: Path, *rows: list[str], head: str = HEAD, end: str = "\n") -> Path:
    path.write_bytes(end.join([head, *("\t".join(row) for row in rows), ""]).encode())
    return path


def _review(case: str, rater: str, verdict: str, reviewed: str) -> Review:
    return Review(case=case, rater=rater, verdict=verdict, reviewed=reviewed, mask_sha256="")


def test_there_and_back_is_the_identity(tmp_path: Path) -> None:
    reviews = [
        Review(case="a", rater="ä b", verdict="fix", note="rim, cut", reviewed="2026-05-01", mask_sha256="1" * 64),
        Review(case="b", rater="x", verdict="", note="look", reviewed="2026-05-01T10:00:00.123Z", mask_sha256=""),
    ]
    write_reviews(tmp_path, reviews)
    assert read_reviews(tmp_path / "review.tsv") == reviews
    columns = json.loads((tmp_path / "review.json").read_text())
    assert "\t".join(columns) == HEAD
    assert set(columns["verdict"]["Levels"]) == {"pass", "fix", "fail"}
    assert all(column["Description"] for column in columns.values())


def test_a_table_that_went_through_a_spreadsheet_is_read(tmp_path: Path) -> None:
    head = "\ufeffrater\tcase\tverdict\tnote\treviewed\tmask_sha256"
    path = _write(tmp_path / "x.tsv", ["anna", "a", "n/a", "n/a", "2026-05-01", ""], head=head, end="\r\n")
    (review,) = read_reviews(path)
    assert (review.case, review.rater, review.verdict, review.note) == ("a", "anna", "", "")


def test_a_rater_and_a_case_may_be_called_na(tmp_path: Path) -> None:
    reviews = [Review(case="n/a", rater="n/a", verdict="fix", reviewed="2026-05-01", mask_sha256="")]
    write_reviews(tmp_path, reviews)
    assert read_reviews(tmp_path / "review.tsv") == reviews
    row = ["n/a", "n/a", "n/a", "n/a", "2026-05-01", "n/a"]
    assert read_reviews(_write(tmp_path / "x.tsv", row)) == [replace(reviews[0], verdict="")]


@pytest.mark.parametrize(
    ("column", "value"),
    [("case", ""), ("rater", ""), ("verdict", "perhaps"), ("reviewed", "yesterday"), ("mask_sha256", "12")],
)
def test_a_malformed_cell_is_refused_by_row_and_column(column: str, value: str, tmp_path: Path) -> None:
    bad = [value if name == column else cell for name, cell in zip(HEAD.split("\t"), GOOD, strict=True)]
    with pytest.raises(BadData, match=rf"x\.tsv, row 2, column {column}: {value}"):
        read_reviews(_write(tmp_path / "x.tsv", GOOD, bad))


def test_rows_of_another_length_and_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="row 1, column mask_sha256: is where a row of 5 cells ends"):
        read_reviews(_write(tmp_path / "x.tsv", GOOD[:5]))
    with pytest.raises(BadData, match="row of 7 cells"):
        read_reviews(_write(tmp_path / "x.tsv", [*GOOD, "x"]))
    for head, name in ((HEAD.replace("note", "text"), "note"), (HEAD + "\tmore", "more"), (HEAD + "\tcase", "case")):
        with pytest.raises(BadData, match=f"column {name}"):
            read_reviews(_write(tmp_path / "x.tsv", head=head))


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadData, match=r"x\.tsv is not UTF-8"):
        read_reviews(tmp_path / "x.tsv")
    with pytest.raises(NoInput, match=r"none\.tsv does not exist"):
        read_reviews(tmp_path / "none.tsv")
    (tmp_path / "empty.tsv").write_bytes(b"")
    with pytest.raises(BadData, match="column case"):
        read_reviews(tmp_path / "empty.tsv")


_TIMES = st.sampled_from(["2026-05-01", "2026-05-01T12:00:00+02:00", "2026-05-02T10:00:00Z", "2026-05-02T10:00:01Z"])
_REVIEWS = st.lists(
    st.builds(_review, st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from(["pass", "fix", "fail"]), _TIMES)
)


@given(_REVIEWS, _REVIEWS)
def test_a_merge_keeps_the_newest_of_each_rater_and_case(first: list[Review], second: list[Review]) -> None:
    merged = merge_reviews(first, second)
    keys = [(review.case, review.rater) for review in merged]
    everything = [*first, *second]
    assert keys == sorted({(review.case, review.rater) for review in everything})
    for review in merged:
        same = [other for other in everything if (other.case, other.rater) == (review.case, review.rater)]
        assert review.time == max(other.time for other in same)
    assert merge_reviews(merged, merged) == merged


def test_of_two_at_the_same_time_the_later_table_wins() -> None:
    early, late = _review("a", "x", "pass", "2026-05-01"), _review("a", "x", "fail", "2026-05-01")
    assert merge_reviews([early], [late]) == [late]
    newer = replace(early, reviewed="2026-05-02")
    assert merge_reviews([newer], [late]) == [newer]
