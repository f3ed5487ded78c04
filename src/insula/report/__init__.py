"""Pages that a person can check: one per case, one for all, one for a cohort."""

from insula.report.cohort import odd_ones, render_cohort
from insula.report.index import render_index
from insula.report.page import render_page
from insula.report.picture import Picture, picture

__all__ = ["Picture", "odd_ones", "picture", "render_cohort", "render_index", "render_page"]
