"""Training losses: functions of logits and truth."""

from insula.losses.batch import BatchLoss, weighted_sum
from insula.losses.brain import BRAIN, brain_loss
from insula.losses.combination import LOSSES, compound, deep_supervision
from insula.losses.distillation import DISTILLATION, distil
from insula.losses.overlap import dice, precise_tversky, tversky
from insula.losses.voxelwise import boundary, cross_entropy, edges, focal, topk10

__all__ = [
    "BRAIN",
    "BatchLoss",
    "DISTILLATION",
    "LOSSES",
    "boundary",
    "brain_loss",
    "compound",
    "cross_entropy",
    "deep_supervision",
    "dice",
    "distil",
    "edges",
    "focal",
    "precise_tversky",
    "topk10",
    "tversky",
    "weighted_sum",
]
