"""How the documentation is built; nothing is fetched."""

project = "insula"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "insula"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
suppress_warnings = ["ref.python"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
