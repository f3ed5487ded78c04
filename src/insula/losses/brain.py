"""The loss of the brain output."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from insula.losses.batch import BatchLoss, Logits, Scalar, Sums

__all__ = ["BRAIN", "brain_loss"]


def brain_loss(logits: Logits, brain: Logits) -> Scalar:
    """Return the mean binary cross-entropy over the voxels whose truth is known; 0 if none is.

    Args:
        logits: brain logits.
        brain: 1 brain, 0 not brain, -1 unknown (a cohort without brain masks).
    """
    return BRAIN(logits, brain)


def _sums(logits: Logits, brain: Logits) -> Sums:
    known = (brain >= 0).float()
    voxels = F.binary_cross_entropy_with_logits(logits.float(), brain.clamp_min(0), reduction="none")
    return torch.stack([(known * voxels).sum(), known.sum()])


def _mean(sums: Sums) -> Scalar:
    wrong, count = sums
    return wrong / count.clamp_min(1)


BRAIN = BatchLoss(_sums, 2, _mean)
