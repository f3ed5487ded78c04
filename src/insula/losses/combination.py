"""Weighted sums of losses, and one loss at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from insula.losses.batch import BatchLoss, Scalar, Sums
from insula.losses.overlap import DICE, PRECISE_TVERSKY, TVERSKY
from insula.losses.voxelwise import BOUNDARY, CROSS_ENTROPY, FOCAL, TOPK10

__all__ = ["LOSSES", "compound", "deep_supervision"]

LOSSES: dict[str, BatchLoss] = {
    "dice": DICE,
    "tversky": TVERSKY,
    "precise_tversky": PRECISE_TVERSKY,
    "cross_entropy": CROSS_ENTROPY,
    "topk10": TOPK10,
    "focal": FOCAL,
    "boundary": BOUNDARY,
}
"""Losses by the name that a recipe uses."""


def compound(terms: Sequence[tuple[float, str]]) -> BatchLoss:
    """Return the weighted sum of named losses, as one loss.

    Args:
        terms: (weight, name) pairs.

    Example:
        >>> loss = compound([(0.35, "dice"), (0.25, "focal"), (0.25, "boundary"), (0.15, "tversky")])
    """
    losses = [LOSSES[name] for _, name in terms]
    lengths = {loss.sums: loss.length for loss in losses}  # Dice and Tversky share theirs

    def sums(logits: Tensor, truth: Tensor) -> Sums:
        return torch.cat([sums_of(logits, truth) for sums_of in lengths])

    def of(whole: Sums) -> Scalar:
        parts = dict(zip(lengths, whole.split(list(lengths.values())), strict=True))
        values = [weight * loss.of(parts[loss.sums]) for (weight, _), loss in zip(terms, losses, strict=True)]
        return torch.stack(values).sum()

    return BatchLoss(sums, sum(lengths.values()), of)


def deep_supervision(loss: BatchLoss, levels: int) -> BatchLoss:
    """Return the weighted mean of one loss at several resolutions; each level weighs half as much as the finer one.

    It takes a list of logits, finest first, whose grids divide the truth's. The truth, 0 or 1 on the finest grid, is
    in a coarse voxel the maximum inside it, so that a small lesion is never averaged away.

    Args:
        loss: the loss at each level.
        levels: number of resolutions.

    Source:
        Lee 2015, Deeply-supervised nets, arXiv 1409.5185; the weights as in Isensee 2021, nnU-Net.
    """
    weights = [0.5**level for level in range(levels)]

    def sums(logits: Sequence[Tensor], truth: Tensor) -> Sums:
        return torch.cat([loss.sums(level, _coarser(truth, level)) for level in logits])

    def of(whole: Sums) -> Scalar:
        values = [w * loss.of(part) for w, part in zip(weights, whole.split(loss.length), strict=True)]
        return torch.stack(values).sum() / sum(weights)

    return BatchLoss(sums, levels * loss.length, of)


def _coarser(truth: Tensor, level: Tensor) -> Tensor:
    return truth if level.shape == truth.shape else F.adaptive_max_pool3d(truth, level.shape[2:])
