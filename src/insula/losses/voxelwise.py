"""Losses on single voxels: cross-entropy, and three ways to choose which voxels count."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from insula.losses.batch import BatchLoss, Logits, Scalar, Sums

__all__ = ["BOUNDARY", "CROSS_ENTROPY", "FOCAL", "TOPK10", "boundary", "cross_entropy", "edges", "focal", "topk10"]

_LINES = (((3, 1, 1), (1, 0, 0)), ((1, 3, 1), (0, 1, 0)), ((1, 1, 3), (0, 0, 1)))  # three voxels along each axis


def cross_entropy(logits: Logits, truth: Logits) -> Scalar:
    """Return the mean binary cross-entropy over voxels, -t log p - (1 - t) log(1 - p).

    Defined for an empty truth.
    """
    return CROSS_ENTROPY(logits, truth)


def topk10(logits: Logits, truth: Logits) -> Scalar:
    """Return the mean binary cross-entropy over the worst tenth of the batch's voxels; defined for an empty truth.

    Processes that share a batch each take the worst tenth of their own part.

    Source:
        Wu 2016, arXiv 1605.06885 (bootstrapping); as Dice+TopK10 in Ma 2021, Loss odyssey, MedIA 71:102035.
    """
    return TOPK10(logits, truth)


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
    return _quotient(_focal(logits, truth, gamma, alpha))


def boundary(logits: Logits, truth: Logits, *, edge_weight: float = 4.0) -> Scalar:
    """Return the cross-entropy averaged with weight w on the lesion's edge and 1 elsewhere: sum(w c) / sum(w).

    By default an error on the border costs four times one inside. With an empty truth there is no edge, and the loss is
    cross-entropy.

    Args:
        logits: lesion logits.
        truth: 0 or 1.
        edge_weight: w.

    Source:
        The weighting of Ronneberger 2015, U-Net, arXiv 1505.04597, equations 1 and 2, with a constant in place of its
        distance term.
    """
    return _quotient(_boundary(logits, truth, edge_weight))


def edges(truth: Logits) -> Logits:
    """Return 1 for voxels with a face neighbour of the other class, on both sides of the border.

    The volume's rim is no edge.
    """

    def reach(region: Tensor) -> Tensor:
        lines = [F.max_pool3d(region, kernel, 1, padding) for kernel, padding in _LINES]
        return torch.stack(lines).amax(0)

    return reach(truth) + reach(-truth)  # maximum minus minimum of a voxel and its six neighbours


def _voxels(logits: Logits, truth: Logits) -> Logits:
    return F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")


def _cross_entropy(logits: Logits, truth: Logits) -> Sums:
    return _sum_and_count(_voxels(logits, truth))


def _topk10(logits: Logits, truth: Logits) -> Sums:
    voxels = _voxels(logits, truth).flatten()
    return _sum_and_count(voxels.topk(max(voxels.numel() // 10, 1), sorted=False).values)


def _focal(logits: Logits, truth: Logits, gamma: float = 2.0, alpha: float = 0.25) -> Sums:
    right = logits.float() * (2 * truth - 1)  # log q = -softplus(-right), 1 - q = sigmoid(-right)
    weight = alpha * truth + (1 - alpha) * (1 - truth)
    return _sum_and_count(weight * torch.sigmoid(-right) ** gamma * F.softplus(-right))


def _boundary(logits: Logits, truth: Logits, edge_weight: float = 4.0) -> Sums:
    weight = 1 + (edge_weight - 1) * edges(truth)
    return torch.stack([(weight * _voxels(logits, truth)).sum(), weight.sum()])


def _sum_and_count(values: Tensor) -> Sums:
    total = values.sum()
    return torch.stack([total, torch.full_like(total, values.numel())])


def _quotient(sums: Sums) -> Scalar:
    numerator, denominator = sums
    return numerator / denominator


CROSS_ENTROPY = BatchLoss(_cross_entropy, 2, _quotient)
TOPK10 = BatchLoss(_topk10, 2, _quotient)
FOCAL = BatchLoss(_focal, 2, _quotient)
BOUNDARY = BatchLoss(_boundary, 2, _quotient)
