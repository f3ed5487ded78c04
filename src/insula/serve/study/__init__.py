"""A folder of results, served: its board with verdicts of several raters, its files, and corrections of its masks."""

from insula.serve.study.folder import MaskChanged, StudyFolder, VerdictsDamaged

__all__ = ["MaskChanged", "StudyFolder", "VerdictsDamaged"]
