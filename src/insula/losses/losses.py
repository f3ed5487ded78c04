"""Dice, cross-entropy and its hardest tenth; a compound is a list of (weight, loss)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["LOSSES", "compound", "cross_entropy", "dice", "topk10"]

Logits = Float[Tensor, "b 1 i j k"]
Scalar = Float[Tensor, ""]


def dice(logits: Logits, truth: Logits, *, smooth: float = 1.0) -> Scalar:
    """1 - (2 sum(p t) + s) / (sum(p) + sum(t) + s), over the whole batch at once.

    Over the batch, because a crop without a lesion would otherwise score 0 or 1 by one stray voxel. An empty truth
    with an empty prediction gives 0.

    Source:
        Milletari 2016, V-Net, arXiv 1606.04797; batch form as in Isensee 2021, nnU-Net.
    """
    prob = torch.sigmoid(logits.float())
    overlap = (prob * truth).sum()
    return 1 - (2 * overlap + smooth) / (prob.sum() + truth.sum() + smooth)


def cross_entropy(logits: Logits, truth: Logits) -> Scalar:
    """Mean binary cross-entropy over voxels; defined for an empty truth."""
    return F.binary_cross_entropy_with_logits(logits.float(), truth)


def topk10(logits: Logits, truth: Logits) -> Scalar:
    """Mean binary cross-entropy over the worst tenth of the voxels of the batch.

    Source:
        Wu 2016, arXiv 1605.06885 (bootstrapping); as Dice+TopK10 in Ma 2021, Loss odyssey, MedIA 71:102035.
    """
    voxels = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").flatten()
    return voxels.topk(max(voxels.numel() // 10, 1), sorted=False).values.mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"dice": dice, "cross_entropy": cross_entropy, "topk10": topk10}


def compound(terms: Sequence[tuple[float, str]]) -> Callable[[Tensor, Tensor], Tensor]:
    """The weighted sum of named losses, as one function of (logits, truth)."""

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        return torch.stack([weight * LOSSES[name](logits, truth) for weight, name in terms]).sum()

    return loss
