"""Cohorts: found, checked, split, simulated, stored."""

from insula.cohort.cases import CaseSet
from insula.cohort.check import CheckedCohort, check_cohort, from_record, to_record
from insula.cohort.examine import Examined, examine, hemisphere_of
from insula.cohort.gallery import GalleryHead, gallery_heads
from insula.cohort.layout import Cohort, Entry, find_cohort
from insula.cohort.lesion_mask import Fault, LesionMask, read_lesion
from insula.cohort.pool import each, processors
from insula.cohort.predictions import find_predictions
from insula.cohort.sources import Part, Sources, load_sources
from insula.cohort.store import Store, StoredCase, store_case, write_index
from insula.cohort.synthesise import CaseSpec, plan_cohort, write_case, write_sheets

__all__ = [
    "CaseSet",
    "CaseSpec",
    "CheckedCohort",
    "Cohort",
    "Entry",
    "Examined",
    "Fault",
    "GalleryHead",
    "LesionMask",
    "Part",
    "Sources",
    "Store",
    "StoredCase",
    "check_cohort",
    "each",
    "examine",
    "find_cohort",
    "find_predictions",
    "from_record",
    "gallery_heads",
    "hemisphere_of",
    "load_sources",
    "plan_cohort",
    "processors",
    "read_lesion",
    "store_case",
    "to_record",
    "write_case",
    "write_index",
    "write_sheets",
]
