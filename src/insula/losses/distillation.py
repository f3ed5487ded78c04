"""Loss of a student network against its teacher's probabilities."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from insula.losses.batch import BatchLoss, Logits, Scalar, Sums

__all__ = ["DISTILLATION", "distil"]

_SMOOTH = 1.0  # keeps the empty case defined


def distil(logits: Logits, taught: Logits) -> Scalar:
    """Return cross-entropy with the teacher's probabilities, less its minimum, plus the batch's Dice semimetric.

    The semimetric is 1 - (P + T - D + s) / (P + T + s) with P = sum(p), T = sum(t), D = sum |p - t| and s = 1. For a
    binary truth it is the Dice loss. For probabilities it is zero where p = t, where the Dice loss would push beyond
    the teacher's probabilities. Both parts, and their sum, are zero for a student that reproduces its teacher.

    Args:
        logits: lesion logits.
        taught: the teacher's probabilities, 0 to 1.

    Source:
        Hinton 2015, Distilling the knowledge in a neural network, arXiv 1503.02531; Wang 2023, Dice semimetric losses,
        arXiv 2303.16296, equation 5.
    """
    return DISTILLATION(logits, taught)


def _sums(logits: Logits, taught: Logits) -> Sums:
    logits = logits.float()
    prob = torch.sigmoid(logits)
    entropy = torch.special.entr(taught) + torch.special.entr(1 - taught)
    excess = F.binary_cross_entropy_with_logits(logits, taught, reduction="none") - entropy
    total = excess.sum()
    count = torch.full_like(total, excess.numel())
    return torch.stack([(prob - taught).abs().sum(), prob.sum(), taught.sum(), total, count])


def _of(sums: Sums) -> Scalar:
    difference, student, teacher, excess, count = sums
    return difference / (student + teacher + _SMOOTH) + excess / count


DISTILLATION = BatchLoss(_sums, 5, _of)
