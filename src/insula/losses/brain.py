"""The loss of the brain output."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from insula.losses.overlap import Logits, Scalar, Total, alone

__all__ = ["brain_loss"]


def brain_loss(logits: Logits, brain: Logits, *, total: Total = alone) -> Scalar:
    """Return the mean binary cross-entropy over the voxels whose truth is known; 0 if none is.

    Args:
        logits: brain logits.
        brain: 1 brain, 0 not brain, -1 unknown (a cohort without brain masks).
        total: turns sums over this process's part into sums over the batch.
    """
    known = (brain >= 0).float()
    voxels = F.binary_cross_entropy_with_logits(logits.float(), brain.clamp_min(0), reduction="none")
    wrong, count = total(torch.stack([(known * voxels).sum(), known.sum()]))
    return wrong / count.clamp_min(1)
