"""Verdicts on a case: the latest on the present mask counts, one on an earlier mask does not."""

from __future__ import annotations

import pytest

from insula.errors import BadData
from insula.predict import refusal
from insula.report import OUTDATED, Review, case_verdict, mask_sha256_of, reviews_by_case
from report.records import MASKS, done_record


def _review(rater: str, verdict: str, *, day: int = 1, mask: str = MASKS["a"], note: str = "") -> Review:
    reviewed = f"2026-05-{day:02}T10:00:00Z"
    return Review(case="a", rater=rater, verdict=verdict, note=note, reviewed=reviewed, mask_sha256=mask)


def test_the_latest_on_the_present_mask_counts_whatever_the_order() -> None:
    reviews = [_review("anna", "pass", day=3), _review("ben", "fail", day=2), _review("cleo", "fix", day=1)]
    for order in (reviews, reviews[::-1]):
        verdict = case_verdict(done_record("a"), reviews_by_case(order))
        assert (verdict.verdict, verdict.raters, verdict.reviewed) == ("pass", ("anna", "ben", "cleo"), True)


def test_a_verdict_on_an_earlier_mask_is_outdated() -> None:
    old = _review("anna", "fail", day=9, mask="0" * 64, note="cut")
    verdict = case_verdict(done_record("a"), reviews_by_case([old]))
    assert (verdict.verdict, verdict.raters, verdict.reviewed) == (OUTDATED, (), False)
    assert verdict.notes == ("anna: cut",)
    both = case_verdict(done_record("a"), reviews_by_case([old, _review("ben", "pass")]))
    assert (both.verdict, both.raters) == ("pass", ("ben",))


def test_a_note_alone_is_no_verdict() -> None:
    verdict = case_verdict(done_record("a"), reviews_by_case([_review("anna", "", note="look")]))
    assert (verdict.verdict, verdict.raters, verdict.notes) == ("", (), ("anna: look",))
    assert case_verdict(done_record("b"), reviews_by_case([_review("anna", "pass")])).verdict == ""


def test_a_case_whose_name_is_not_a_plain_cell_is_recognised() -> None:
    review = Review(case="a 'b' c", rater="x", verdict="pass", reviewed="2026-05-01", mask_sha256="1" * 64)
    record = done_record('a  "b"\tc', mask_sha256="1" * 64)
    assert case_verdict(record, reviews_by_case([review])).verdict == "pass"


def test_a_refused_case_has_no_mask() -> None:
    assert mask_sha256_of(refusal("a", BadData("a", "b", "c", "d"))) == ""
    assert mask_sha256_of(done_record("a")) == MASKS["a"]


@pytest.mark.parametrize("text", ["2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00", "2026-05-01T10:00:00.000Z"])
def test_times_with_and_without_an_offset_compare(text: str) -> None:
    review = Review(case="a", rater="x", verdict="pass", reviewed=text, mask_sha256="")
    assert review.time == _review("anna", "pass").time
