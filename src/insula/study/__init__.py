"""A study: find and name many scans, and segment them into one folder."""

from insula.study.consensus import ConsensusMethod, ConsensusOutcome, ConsensusRecord, consensus_study
from insula.study.correct import (
    CorrectionOutcome,
    Corrections,
    correct_case,
    correct_study,
    find_corrections,
    is_measured,
    masks_of_no_case,
)
from insula.study.inputs import ScanFiles, find_scans, name_cases
from insula.study.layout import (
    BidsResults,
    FlatResults,
    ResultsFolder,
    needs_scans,
    no_results,
    other_program,
    passed_over,
    results_in,
)
from insula.study.names import given_names
from insula.study.overview import Overview, earlier_records, thumbnails_of, write_overview
from insula.study.raters import RaterMasks, find_rater_masks
from insula.study.review import StudyReview, add_reviews, review_study, summarize_reviews
from insula.study.review_table import (
    REVIEW_TABLE,
    merge_reviews,
    read_reviews,
    review_of_cells,
    reviews_of,
    reviews_or_problem,
    write_reviews,
)
from insula.study.run import CaseOutcome, StudyPlan, run_study
from insula.study.sources import FoundScan, ScanSources

__all__ = [
    "BidsResults",
    "CaseOutcome",
    "ConsensusMethod",
    "ConsensusOutcome",
    "ConsensusRecord",
    "CorrectionOutcome",
    "Corrections",
    "FlatResults",
    "FoundScan",
    "Overview",
    "REVIEW_TABLE",
    "RaterMasks",
    "ResultsFolder",
    "ScanFiles",
    "ScanSources",
    "StudyPlan",
    "StudyReview",
    "add_reviews",
    "consensus_study",
    "correct_case",
    "correct_study",
    "earlier_records",
    "find_corrections",
    "find_rater_masks",
    "find_scans",
    "given_names",
    "is_measured",
    "masks_of_no_case",
    "merge_reviews",
    "name_cases",
    "needs_scans",
    "no_results",
    "other_program",
    "passed_over",
    "read_reviews",
    "results_in",
    "review_of_cells",
    "review_study",
    "reviews_of",
    "reviews_or_problem",
    "run_study",
    "summarize_reviews",
    "thumbnails_of",
    "write_overview",
    "write_reviews",
]
