"""A study: find and name many scans, and segment them into one folder."""

from insula.study.inputs import ScanFiles, find_scans, name_cases
from insula.study.run import CaseOutcome, StudyPlan, earlier_records, run_study, write_overview

__all__ = [
    "CaseOutcome",
    "ScanFiles",
    "StudyPlan",
    "earlier_records",
    "find_scans",
    "name_cases",
    "run_study",
    "write_overview",
]
