"""Labelled cohorts: finding, checking, splitting, and converting them to other layouts."""

from insula.cohort.check import CheckedCohort, check_cohort, from_record, to_record
from insula.cohort.examination import Examined, examine, hemisphere_of
from insula.cohort.layout import Cohort, Entry, find_cohort
from insula.cohort.pool import each, processors
from insula.cohort.predictions import find_predictions

__all__ = [
    "CheckedCohort",
    "Cohort",
    "Entry",
    "Examined",
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
