"""Loss of a student network against its teacher's probabilities."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from insula.losses.overlap import Logits, Scalar, Total, alone

__all__ = ["distil"]


def distil(logits: Logits, taught: Logits, *, smooth: float = 1.0, total: Total = alone) -> Scalar:
    """Return cross-entropy with the teacher's probabilities, less its minimum, plus the batch's Dice semimetric.

    The semimetric is 1 - (P + T - D + s) / (P + T + s) with P = sum(p), T = sum(t), D = sum |p - t|. For a binary truth
    it is the Dice loss. For probabilities it is zero where p = t, where the Dice loss would push beyond the teacher's
    probabilities. Both parts, and their sum, are zero for a student that reproduces its teacher.

    Args:
        logits: lesion logits.
        taught: the teacher's probabilities, 0 to 1.
        smooth: s; keeps the empty case defined.
        total: turns sums over this process's part into sums over the batch.

    Source:
        Hinton 2015, Distilling the knowledge in a neural network, arXiv 1503.02531; Wang 2023, Dice semimetric losses,
        arXiv 2303.16296, equation 5.
    """
    logits = logits.float()
    prob = torch.sigmoid(logits)
    difference, student_sum, teacher_sum = total(torch.stack([(prob - taught).abs().sum(), prob.sum(), taught.sum()]))
    overlap = difference / (student_sum + teacher_sum + smooth)
    entropy = torch.special.entr(taught) + torch.special.entr(1 - taught)
    return overlap + (F.binary_cross_entropy_with_logits(logits, taught) - entropy.mean())
