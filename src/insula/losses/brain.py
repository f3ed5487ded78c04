"""The loss of the brain output."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from insula.losses.overlap import Logits, Scalar, Total, alone

__all__ = ["brain_loss"]


def brain_loss(logits: Logits, brain: Logits, *, total: Total = alone) -> Scalar:
    """Mean binary cross-entropy over the voxels whose truth is known; 0 where none is.

    Args:
        logits: of brain.
        brain: 1 brain, 0 not, -1 not known (a cohort without brain masks).
        total: completes sums over the batch.
    """
    known = (brain >= 0).float()
    voxels = F.binary_cross_entropy_with_logits(logits.float(), brain.clamp_min(0), reduction="none")
    wrong, count = total(torch.stack([(known * voxels).sum(), known.sum()]))
    return wrong / count.clamp_min(1)
