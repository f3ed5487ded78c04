"""A study: find and name many scans, and segment them into one folder."""

from insula.study.correct import CorrectionOutcome, Corrections, correct_study, find_corrections, masks_of_no_case
from insula.study.inputs import ScanFiles, find_scans, name_cases
from insula.study.names import given_names
from insula.study.review import StudyReview, review_study, summarize_reviews
from insula.study.review_table import merge_reviews, read_reviews, write_reviews
from insula.study.run import CaseOutcome, StudyPlan, earlier_records, run_study, write_overview

__all__ = [
    "CaseOutcome",
    "CorrectionOutcome",
    "Corrections",
    "ScanFiles",
    "StudyPlan",
    "StudyReview",
    "correct_study",
    "earlier_records",
    "find_corrections",
    "find_scans",
    "given_names",
    "masks_of_no_case",
    "merge_reviews",
    "name_cases",
    "read_reviews",
    "review_study",
    "run_study",
    "summarize_reviews",
    "write_overview",
    "write_reviews",
]
