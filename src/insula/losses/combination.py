"""Weighted sums of losses, and one loss at several resolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from insula.losses.overlap import Scalar, Total, alone, dice, precise_tversky, tversky
from insula.losses.voxelwise import boundary, cross_entropy, focal, topk10

__all__ = ["LOSSES", "Loss", "compound", "deep_supervision"]

Loss = Callable[..., Tensor]
"""A function of logits and truth, both (b, 1, i, j, k), that returns a scalar."""

LOSSES: dict[str, Loss] = {
    "dice": dice,
    "tversky": tversky,
    "precise_tversky": precise_tversky,
    "cross_entropy": cross_entropy,
    "topk10": topk10,
    "focal": focal,
    "boundary": boundary,
}
"""Losses by the name that a recipe uses."""

_RATIOS = frozenset({"dice", "tversky", "precise_tversky", "boundary"})
"""Losses that are quotients of sums over the batch; the others are means over voxels, which parts can average."""


def compound(terms: Sequence[tuple[float, str]], *, total: Total = alone) -> Loss:
    """Return the weighted sum of named losses, as one function of (logits, truth).

    Args:
        terms: (weight, name) pairs.
        total: turns sums over this process's part into sums over the batch.

    Example:
        >>> loss = compound([(0.35, "dice"), (0.25, "focal"), (0.25, "boundary"), (0.15, "tversky")])
    """

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        values = [LOSSES[name](logits, truth, **({"total": total} if name in _RATIOS else {})) for _, name in terms]
        return torch.stack([weight * value for (weight, _), value in zip(terms, values, strict=True)]).sum()

    return loss


def deep_supervision(loss: Loss, logits: Sequence[Tensor], truth: Tensor) -> Scalar:
    """Return the weighted mean of one loss at several resolutions; each level weighs half as much as the finer one.

    The truth of a coarse voxel is the maximum inside it, so that a small lesion is never averaged away.

    Args:
        loss: the loss at each level.
        logits: logits of each level, finest first; each grid divides the truth's.
        truth: (b, 1, i, j, k), 0 or 1, on the finest level's grid.

    Source:
        Lee 2015, Deeply-supervised nets, arXiv 1409.5185; the weights as in Isensee 2021, nnU-Net.
    """
    weights = [0.5**level for level in range(len(logits))]
    values = [
        weight * loss(level, truth if level.shape == truth.shape else F.adaptive_max_pool3d(truth, level.shape[2:]))
        for weight, level in zip(weights, logits, strict=True)
    ]
    return torch.stack(values).sum() / sum(weights)
