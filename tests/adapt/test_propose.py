"""The cases to correct next: the most doubtful ones that nobody has judged good or corrected."""

from __future__ import annotations

from insula.adapt import next_cases
from insula.report import Review
from report.records import MASKS, done_record


def test_the_most_doubtful_come_first_one_of_each_subject() -> None:
    odd = {"brain": {"volume_ml": 300.0, "lesion_share": 0.3}}
    correction = {"network_volume_ml": 1.0, "added_ml": 0.0, "removed_ml": 0.0, "dice": 1.0}
    records = {
        record["case"]: record
        for record in (
            done_record("a"),
            done_record("b", **odd),
            done_record("c", **odd, correction=correction),
            done_record("sub-1_run-1_T1w", **odd),
            done_record("sub-1_run-2_T1w", **odd),
            done_record("sub-2_T1w"),
        )
    }
    passed = Review(case="b", rater="anna", verdict="pass", reviewed="2026-05-01", mask_sha256=MASKS["b"])
    assert [p.case for p in next_cases(records, [])] == ["b", "sub-1_run-1_T1w", "a", "sub-2_T1w"]
    assert [p.case for p in next_cases(records, [passed])] == ["sub-1_run-1_T1w", "a", "sub-2_T1w"]
    first = next_cases(records, [], count=1)
    assert [p.case for p in first] == ["b"]
    assert "brain volume implausible" in first[0].reasons
    assert first[0].score > 0.7
