"""Adapts weights to the scans of one hospital: fine-tuning on corrected masks, judged by leaving cases out."""

from insula.adapt.decision import CaseChange, Decision, OldTest, decide
from insula.adapt.labelled import Labelled, find_labelled
from insula.adapt.propose import Proposal, next_cases
from insula.adapt.run import Adaptation, adapt
from insula.adapt.tuning import adapted_recipe, case_set, fine_tune

__all__ = [
    "Adaptation",
    "CaseChange",
    "Decision",
    "Labelled",
    "OldTest",
    "Proposal",
    "adapt",
    "adapted_recipe",
    "case_set",
    "decide",
    "find_labelled",
    "fine_tune",
    "next_cases",
]
