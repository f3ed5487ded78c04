"""From probabilities to a mask and its lesions."""

from insula.postprocess.decide import Lesion, decide, measure_lesions, number_lesions
from insula.postprocess.doubt import SPREAD, lesion_confidence, mean_logits, volume_doubt, volume_interval

__all__ = [
    "Lesion",
    "SPREAD",
    "decide",
    "lesion_confidence",
    "mean_logits",
    "measure_lesions",
    "number_lesions",
    "volume_doubt",
    "volume_interval",
]
