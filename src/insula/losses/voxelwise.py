"""Losses on single voxels: cross-entropy, and three ways to choose which voxels count."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from insula.losses.overlap import Logits, Scalar, Total, alone

__all__ = ["boundary", "cross_entropy", "edges", "focal", "topk10"]

_LINES = (((3, 1, 1), (1, 0, 0)), ((1, 3, 1), (0, 1, 0)), ((1, 1, 3), (0, 0, 1)))  # three voxels along each axis


def cross_entropy(logits: Logits, truth: Logits) -> Scalar:
    """Return the mean binary cross-entropy over voxels, -t log p - (1 - t) log(1 - p).

    Defined for an empty truth.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), truth)


def topk10(logits: Logits, truth: Logits) -> Scalar:
    """Return the mean binary cross-entropy over the worst tenth of the batch's voxels; defined for an empty truth.

    Source:
        Wu 2016, arXiv 1605.06885 (bootstrapping); as Dice+TopK10 in Ma 2021, Loss odyssey, MedIA 71:102035.
    """
    voxels = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").flatten()
    return voxels.topk(max(voxels.numel() // 10, 1), sorted=False).values.mean()


def focal(logits: Logits, truth: Logits, *, gamma: float = 2.0, alpha: float = 0.25) -> Scalar:
    """Return the mean over voxels of -a (1 - q)^g log q, where q is the probability of the true class.

    Voxels that are already right count little: at q = 0.9, a hundredth of their cross-entropy. Defined for an empty
    truth.

    Args:
        logits: lesion logits.
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
    """Return the cross-entropy averaged with weight w on the lesion's edge and 1 elsewhere: sum(w c) / sum(w).

    By default an error on the border costs four times one inside. With an empty truth there is no edge, and the loss is
    cross-entropy.

    Args:
        logits: lesion logits.
        truth: 0 or 1.
        edge_weight: w.
        total: turns sums over this process's part into sums over the batch.

    Source:
        The weighting of Ronneberger 2015, U-Net, arXiv 1505.04597, equations 1 and 2, with a constant in place of its
        distance term.
    """
    weight = 1 + (edge_weight - 1) * edges(truth)
    voxels = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
    wrong, total_weight = total(torch.stack([(weight * voxels).sum(), weight.sum()]))
    return wrong / total_weight


def edges(truth: Logits) -> Logits:
    """Return 1 for voxels with a face neighbour of the other class, on both sides of the border.

    The volume's rim is no edge.
    """

    def reach(region: Tensor) -> Tensor:
        lines = [F.max_pool3d(region, kernel, 1, padding) for kernel, padding in _LINES]
        return torch.stack(lines).amax(0)

    return reach(truth) + reach(-truth)  # maximum minus minimum of a voxel and its six neighbours
