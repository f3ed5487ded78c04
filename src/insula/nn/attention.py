"""Attention over positions and over channels."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AttentionGate", "SqueezeExcite"]


class AttentionGate(nn.Module):
    """A gate on a skip connection that lets through what the coarser features need.

    The weight of each position is computed on the coarse grid, from the skip averaged over 2x2x2, and interpolated, so
    the gate costs little at full resolution. It scales the skip and never adds to it.

    Args:
        skip: channels of the fine features.
        coarse: channels of the gating features, on the grid of half the resolution.

    Source:
        Oktay 2018, Attention U-Net, arXiv 1804.03999, equations 1 and 2.
    """

    def __init__(self, skip: int, coarse: int) -> None:
        super().__init__()
        inner = max(skip // 2, 1)
        self.theta = nn.Conv3d(skip, inner, kernel_size=1, bias=False)
        self.phi = nn.Conv3d(coarse, inner, kernel_size=1)
        self.psi = nn.Conv3d(inner, 1, kernel_size=1)

    def forward(
        self, skip: Float[Tensor, "b c i j k"], coarse: Float[Tensor, "b c2 i2 j2 k2"]
    ) -> Float[Tensor, "b c i j k"]:
        # averaging 2x2x2 and mixing channels are both linear: one strided convolution does them in one pass
        pooled = F.conv3d(skip, self.theta.weight.expand(-1, -1, 2, 2, 2) / 8, stride=2)  # (b, inner, i/2, j/2, k/2)
        weight = torch.sigmoid(self.psi(F.relu(pooled + self.phi(coarse))))  # (b, 1, i/2, j/2, k/2)
        weight = F.interpolate(weight, scale_factor=2.0, mode="trilinear", align_corners=False)  # (b, 1, i, j, k)
        return skip * weight


class SqueezeExcite(nn.Module):
    """Scale each channel by a weight computed from the means of all channels, over the volume or over windows.

    A network that is trained on crops learns the means of crops; those of a whole head with the air around it are
    others. With windows of the size of the crops it meets the same means in both. The weights are computed on the grid
    of cells and interpolated between them. Because it looks beyond the neighbouring voxels, a network that has it at
    full resolution cannot be computed in tiles.

    Args:
        channels: number of channels.
        reduction: the inner layer has channels / reduction units, at least one.
        cell: voxels along each axis of a cell; the volume is a whole number of them.
        window: cells along each axis of a window; a window that would reach beyond the volume is moved into it. 0 for
            the whole volume.

    Source:
        Hu 2018, Squeeze-and-Excitation Networks, arXiv 1709.01507, equations 2 to 4; windows as in Chu 2022, Improving
        Image Restoration by Revisiting Global Information Aggregation, arXiv 2112.04491, here also in training.
    """

    in_steps = False
    """Whether to average along one axis after another: engines that add a million values in sequence lose digits."""

    def __init__(self, channels: int, reduction: int, *, cell: int = 1, window: int = 0) -> None:
        super().__init__()
        inner = max(channels // reduction, 1)
        self.squeeze = nn.Linear(channels, inner)
        self.excite = nn.Linear(inner, channels)
        self.cell, self.window = cell, window

    def forward(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c i j k"]:
        if self.window and max(x.shape[2:]) > self.window * self.cell:
            return x * self._weight_by_window(x)
        means = _in_steps(x) if self.in_steps else x.mean(dim=(2, 3, 4))  # (b, c)
        return x * self._weight(means)[:, :, None, None, None]

    def _weight_by_window(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c i j k"]:
        means = x.movedim(1, -1)  # (b, i, j, k, c): as it lies in memory, where channels are last
        for axis in (1, 2, 3):
            counts = _windows(means.shape[axis] // self.cell, self.window, self.cell, means.device)
            means = _map(means, axis, counts) / (2 * min(self.window * self.cell, means.shape[axis]))
        weight = self._weight(means)  # (b, i/cell, j/cell, k/cell, c)
        for axis in (3, 2, 1):  # the first axis last: one product of matrices for the whole volume
            cells = torch.eye(weight.shape[axis], device=weight.device)[None]
            if self.cell > 1:
                cells = F.interpolate(cells, scale_factor=float(self.cell), mode="linear", align_corners=False)
            weight = _map(weight, axis, cells[0].T)
        return weight.movedim(-1, 1)

    def _weight(self, means: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        return torch.sigmoid(self.excite(F.relu(self.squeeze(means))))


def _windows(size: int, window: int, cell: int, device: torch.device) -> Float[Tensor, "i n"]:
    """Return how often, 0 to 2, each voxel lies in the two windows around each cell: one to the left, one to the right.

    They are the same if the window is odd. Windows are told by comparisons alone: PyTorch 2.11 cannot compile indices
    that are clamped.
    """
    own = torch.arange(size, device=device)[:, None]
    of = torch.arange(size * cell, device=device) // cell  # the cell of each voxel
    last = max(size - window, 0)  # where the last window begins
    inside = []
    for side in (window // 2, (window - 1) // 2):
        first = own - side  # of the window around each cell, were there no border
        inside.append(((of >= first) | (of >= last)) & ((of < first + window) | (of < window)))
    return inside[0].float() + inside[1].float()


def _map(x: Float[Tensor, "b i j k c"], axis: int, matrix: Float[Tensor, "n m"]) -> Float[Tensor, "b i2 j2 k2 c"]:
    """Multiply with a matrix along an axis: faster than pooling, which copies a volume with its channels last."""
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    lines = x.reshape(math.prod(before), x.shape[axis], math.prod(after))
    return (matrix.to(x.dtype)[None] @ lines).reshape(*before, matrix.shape[0], *after)


def _in_steps(x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c"]:
    """Average over the volume line by line, then plane by plane; with pools, as engines would merge means again."""
    lines = F.avg_pool3d(x.float(), (1, 1, x.shape[4]))
    planes = F.avg_pool3d(lines, (1, x.shape[3], 1))
    return planes.mean(dim=(2, 3, 4)).to(x.dtype)
