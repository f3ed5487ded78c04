"""Pages that a person can check: one per case, one for all."""

from insula.report.index import render_index
from insula.report.page import render_page
from insula.report.picture import Picture, picture

__all__ = ["Picture", "picture", "render_index", "render_page"]
