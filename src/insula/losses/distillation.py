"""What a student loses by not answering as its teacher does."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from insula.losses.overlap import Logits, Scalar, Total, alone

__all__ = ["distil"]


def distil(logits: Logits, taught: Logits, *, smooth: float = 1.0, total: Total = alone) -> Scalar:
    """Cross-entropy with the teacher's probabilities, its smallest value taken off, and the Dice semimetric, over the whole batch.

    The semimetric is 1 - (P + T - D + s) / (P + T + s) with P = sum(p), T = sum(t), D = sum |p - t|. For a truth of 0 and 1 it is
    the Dice loss; for probabilities it is zero where p = t, where the Dice loss would ask for more than the teacher says. Both parts,
    and their sum, are zero for a student that answers as the teacher does.

    Args:
        logits: of lesion.
        taught: the teacher's probabilities, 0 to 1.
        smooth: s; keeps the empty case defined.
        total: completes sums over the batch.

    Source:
        Hinton 2015, Distilling the knowledge in a neural network, arXiv 1503.02531; Wang 2023, Dice semimetric losses, arXiv
        2303.16296, equation 5.
    """
    logits = logits.float()
    prob = torch.sigmoid(logits)
    apart, predicted, told = total(torch.stack([(prob - taught).abs().sum(), prob.sum(), taught.sum()]))
    overlap = apart / (predicted + told + smooth)
    own = torch.special.entr(taught) + torch.special.entr(1 - taught)
    return overlap + (F.binary_cross_entropy_with_logits(logits, taught) - own.mean())
