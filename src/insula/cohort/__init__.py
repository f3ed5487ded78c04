"""Labelled cohorts: finding, checking, splitting, and converting them to other layouts."""

from insula.cohort.check import CheckedCohort, check_cohort, from_record, to_record
from insula.cohort.entry import Entry
from insula.cohort.examination import CheckedCase, examine, hemisphere_of
from insula.cohort.layout import Cohort, find_cohort
from insula.cohort.pool import each, processors
from insula.cohort.predictions import find_predictions

__all__ = [
    "CheckedCase",
    "CheckedCohort",
    "Cohort",
    "Entry",
    "check_cohort",
    "each",
    "examine",
    "find_cohort",
    "find_predictions",
    "from_record",
    "hemisphere_of",
    "processors",
    "to_record",
]
