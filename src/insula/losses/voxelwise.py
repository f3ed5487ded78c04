"""Losses on single voxels: cross-entropy, and three ways to say which voxels count."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from insula.losses.overlap import Logits, Scalar, Total, alone

__all__ = ["boundary", "cross_entropy", "edges", "focal", "topk10"]

_LINES = (((3, 1, 1), (1, 0, 0)), ((1, 3, 1), (0, 1, 0)), ((1, 1, 3), (0, 0, 1)))  # three voxels along each axis


def cross_entropy(logits: Logits, truth: Logits) -> Scalar:
    """Mean binary cross-entropy over voxels, -t log p - (1 - t) log(1 - p); defined for an empty truth."""
    return F.binary_cross_entropy_with_logits(logits.float(), truth)


def topk10(logits: Logits, truth: Logits) -> Scalar:
    """Mean binary cross-entropy over the worst tenth of the voxels of the batch; defined for an empty truth.

    Source:
        Wu 2016, arXiv 1605.06885 (bootstrapping); as Dice+TopK10 in Ma 2021, Loss odyssey, MedIA 71:102035.
    """
    voxels = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").flatten()
    return voxels.topk(max(voxels.numel() // 10, 1), sorted=False).values.mean()


def focal(logits: Logits, truth: Logits, *, gamma: float = 2.0, alpha: float = 0.25) -> Scalar:
    """Mean over voxels of -a (1 - q)^g log q, where q is the probability given to what is true.

    What is already right fades: a voxel at q = 0.9 counts a hundredth of its cross-entropy. Defined for an empty truth.

    Args:
        logits: of lesion.
        truth: 0 or 1.
        gamma: g; 0 leaves cross-entropy.
        alpha: a of lesion voxels; all others have 1 - a.

    Source:
        Lin 2017, Focal loss for dense object detection, arXiv 1708.02002, equation 5.
    """
    right = logits.float() * (2 * truth - 1)  # log q = -softplus(-right), 1 - q = sigmoid(-right)
    weight = alpha * truth + (1 - alpha) * (1 - truth)
    return (weight * torch.sigmoid(-right) ** gamma * F.softplus(-right)).mean()


def boundary(logits: Logits, truth: Logits, *, edge_weight: float = 4.0, total: Total = alone) -> Scalar:
    """Cross-entropy averaged with weight w on the lesion's edge and 1 elsewhere: sum(w c) / sum(w).

    A border that is off by a voxel costs four times what it would cost inside. With an empty truth there is no edge,
    and this is cross-entropy.

    Args:
        logits: of lesion.
        truth: 0 or 1.
        edge_weight: w.
        total: completes sums over the batch.

    Source:
        The weighting of Ronneberger 2015, U-Net, arXiv 1505.04597, equations 1 and 2, with a constant in place of its
        distance term.
    """
    weight = 1 + (edge_weight - 1) * edges(truth)
    voxels = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
    wrong, all_of_it = total(torch.stack([(weight * voxels).sum(), weight.sum()]))
    return wrong / all_of_it


def edges(truth: Logits) -> Logits:
    """1 where a voxel has a face neighbour of the other kind, on both sides of the border; the volume's rim is none."""

    def reach(x: Tensor) -> Tensor:
        lines = [F.max_pool3d(x, kernel, 1, padding) for kernel, padding in _LINES]
        return torch.stack(lines).amax(0)

    return reach(truth) + reach(-truth)  # the greatest minus the least of a voxel and its six neighbours
