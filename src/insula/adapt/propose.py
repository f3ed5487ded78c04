"""Which cases of a study a person should correct next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from insula.adapt.labelled import subject_of
from insula.predict import CaseRecord, review_score
from insula.report import Review, case_verdict, reviews_by_case

__all__ = ["Proposal", "next_cases"]


class Proposal(NamedTuple):
    """A case whose mask a person should correct, and why."""

    case: str
    score: float
    """Review score, 0 to 1."""
    reasons: tuple[str, ...]


def next_cases(records: Mapping[str, CaseRecord], reviews: Sequence[Review], *, count: int = 5) -> list[Proposal]:
    """Return the cases most in need of a correction: those with the highest review scores, one for each subject.

    Refused cases, corrected ones, and those whose present mask a rater passed are left out.

    Args:
        records: of the study, by case.
        reviews: the verdicts of its raters.
        count: number of cases to return at most.
    """
    by_case, proposals, subjects = reviews_by_case(reviews), list[Proposal](), set[str]()
    open_cases = [
        record
        for record in records.values()
        if record["outcome"] == "done"
        and record.get("correction") is None
        and case_verdict(record, by_case).verdict != "pass"
    ]
    scores = {record["case"]: review_score(record) for record in open_cases}
    for case in sorted(scores, key=lambda case: (-scores[case].score, case)):
        subject = subject_of(case)
        if subject not in subjects:
            subjects.add(subject)
            proposals.append(Proposal(case, scores[case].score, scores[case].reasons))
    return proposals[:count]
