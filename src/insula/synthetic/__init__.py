"""Simulated heads from open data: their sources, whole cohorts in the ATLAS layout, and a gallery."""

from insula.synthetic.cohort import CaseSpec, plan_cohort, write_case, write_sheets
from insula.synthetic.gallery import Exhibit, gallery_heads
from insula.synthetic.sources import Part, Sources, load_sources

__all__ = [
    "CaseSpec",
    "Exhibit",
    "Part",
    "Sources",
    "gallery_heads",
    "load_sources",
    "plan_cohort",
    "write_case",
    "write_sheets",
]
