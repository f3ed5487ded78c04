"""Several losses as one, and one loss at several resolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from insula.losses.overlap import Scalar, dice, tversky
from insula.losses.voxelwise import boundary, cross_entropy, focal, topk10

__all__ = ["LOSSES", "Loss", "compound", "deep_supervision"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function of logits and truth, (b, 1, i, j, k) both; a scalar."""

LOSSES: dict[str, Loss] = {
    "dice": dice, "tversky": tversky, "cross_entropy": cross_entropy, "topk10": topk10, "focal": focal,
    "boundary": boundary,
}  # fmt: skip
"""By the name that a recipe uses."""


def compound(terms: Sequence[tuple[float, str]]) -> Loss:
    """The weighted sum of named losses, as one function of (logits, truth).

    Example:
        >>> loss = compound([(0.35, "dice"), (0.25, "focal"), (0.25, "boundary"), (0.15, "tversky")])
    """

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        return torch.stack([weight * LOSSES[name](logits, truth) for weight, name in terms]).sum()

    return loss


def deep_supervision(loss: Loss, logits: Sequence[Tensor], truth: Tensor) -> Scalar:
    """The mean of one loss at several resolutions, each level with half the weight of the finer one.

    The truth of a coarse voxel is the greatest inside it, so that a small lesion is never averaged away.

    Args:
        loss: at each level.
        logits: finest first; each grid divides the truth's.
        truth: (b, 1, i, j, k), 0 or 1, on the finest level's grid.

    Source:
        Lee 2015, Deeply-supervised nets, arXiv 1409.5185; the weights as in Isensee 2021, nnU-Net.
    """
    weights = [0.5**level for level in range(len(logits))]
    values = [
        weight * loss(level, F.adaptive_max_pool3d(truth, level.shape[2:]))
        for weight, level in zip(weights, logits, strict=True)
    ]
    return torch.stack(values).sum() / sum(weights)
