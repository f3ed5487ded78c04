"""From probabilities to the lesion mask, its single lesions and the brain mask."""

from insula.postprocess.brain import brain_flags, find_brain, flat_contrast, grey_share, within_brain
from insula.postprocess.decision import Lesion, decide, measure_lesions, number_lesions
from insula.postprocess.doubt import (
    ALWAYS_KEPT_ML,
    SMALL_ML,
    SPREAD,
    kept_by_chance,
    lesion_confidence,
    mean_logits,
    volume_doubt,
    volume_interval,
)
from insula.postprocess.sides import Side, side_of, side_volumes_ml

__all__ = [
    "ALWAYS_KEPT_ML",
    "Lesion",
    "SMALL_ML",
    "SPREAD",
    "Side",
    "brain_flags",
    "decide",
    "find_brain",
    "flat_contrast",
    "grey_share",
    "kept_by_chance",
    "lesion_confidence",
    "mean_logits",
    "measure_lesions",
    "number_lesions",
    "side_of",
    "side_volumes_ml",
    "volume_doubt",
    "volume_interval",
    "within_brain",
]
