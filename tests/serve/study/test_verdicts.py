"""Verdicts that raters send: none is later than now, and a damaged table is told from them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from insula.report import Review
from insula.serve.study.verdicts import VerdictsDamaged, add_sent
from insula.study import read_reviews


def _review(reviewed: str) -> Review:
    return Review(case="a", rater="anna", verdict="pass", reviewed=reviewed, mask_sha256="0" * 64)


@pytest.mark.parametrize("reviewed", ["2999-01-01T00:00:00Z", "2999-01-01"])
def test_a_time_in_the_future_counts_as_now_and_another_as_it_is(reviewed: str, tmp_path: Path) -> None:
    assert add_sent(tmp_path, [_review("2026-05-01T10:00:00Z")])[0].reviewed == "2026-05-01T10:00:00Z"
    before = datetime.now(UTC)
    (review,) = add_sent(tmp_path, [_review(reviewed)])
    assert abs((review.time - before).total_seconds()) < 60
    assert read_reviews(tmp_path / "review.tsv") == [review]


def test_a_damaged_table_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "review.tsv").write_text("x")
    with pytest.raises(VerdictsDamaged, match="review.tsv, column case: is missing"):
        add_sent(tmp_path, [_review("2026-05-01")])
    assert (tmp_path / "review.tsv").read_text() == "x"
