"""A study: find and name many scans, and segment them into one folder."""

from insula.study.inputs import FoundScans, find_scans, name_cases
from insula.study.run import CaseOutcome, StudyPlan, run_study

__all__ = ["CaseOutcome", "FoundScans", "StudyPlan", "find_scans", "name_cases", "run_study"]
