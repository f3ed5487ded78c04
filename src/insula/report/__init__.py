"""HTML reports for people: of a case, all cases, a cohort, an evaluation or a training run."""

from insula.report.capture import render_capture
from insula.report.case import write_bids_case, write_case
from insula.report.cohort import render_cohort, suspects
from insula.report.evaluation import gallery, render_evaluation
from insula.report.index import IndexRow, index_row, join_index, note_of, render_index
from insula.report.memory import render_memory
from insula.report.page import Truth, render_page
from insula.report.pictures import Picture, picture
from insula.report.simulated import render_gallery, show_head, show_scan
from insula.report.thumbnail import thumbnail_of
from insula.report.training import current_lines, read_log, render_folds, render_training
from insula.report.verdict import OUTDATED, VERDICTS, CaseVerdict, Review, case_verdict, mask_sha256_of, reviews_by_case

__all__ = [
    "CaseVerdict",
    "IndexRow",
    "OUTDATED",
    "Picture",
    "Review",
    "Truth",
    "VERDICTS",
    "case_verdict",
    "current_lines",
    "gallery",
    "index_row",
    "join_index",
    "mask_sha256_of",
    "note_of",
    "picture",
    "read_log",
    "render_capture",
    "render_cohort",
    "render_evaluation",
    "render_folds",
    "render_gallery",
    "render_index",
    "render_memory",
    "render_page",
    "render_training",
    "reviews_by_case",
    "show_head",
    "show_scan",
    "suspects",
    "thumbnail_of",
    "write_bids_case",
    "write_case",
]
