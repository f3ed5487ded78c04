"""A folder of results, served: its board with verdicts of several raters, its files, and corrections of its masks."""

from insula.serve.study.folder import StudyFolder
from insula.serve.study.verdicts import VerdictsDamaged

__all__ = ["StudyFolder", "VerdictsDamaged"]
