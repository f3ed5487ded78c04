"""Attention over positions and over channels."""

from __future__ import annotations

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
    """Scale each channel by a weight computed from the volume means of all channels.

    Because it averages over the volume, a network that has it at full resolution cannot be computed in tiles.

    Args:
        channels: number of channels.
        reduction: the inner layer has channels / reduction units, at least one.

    Source:
        Hu 2018, Squeeze-and-Excitation Networks, arXiv 1709.01507, equations 2 to 4.
    """

    in_steps = False
    """Whether to average along one axis after another: engines that add a million values in sequence lose digits."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        inner = max(channels // reduction, 1)
        self.squeeze = nn.Linear(channels, inner)
        self.excite = nn.Linear(inner, channels)

    def forward(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c i j k"]:
        weight = _in_steps(x) if self.in_steps else x.mean(dim=(2, 3, 4))  # (b, c)
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(weight))))
        return x * weight[:, :, None, None, None]


def _in_steps(x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c"]:
    """Average over the volume line by line, then plane by plane; with pools, as engines would merge means again."""
    lines = F.avg_pool3d(x.float(), (1, 1, x.shape[4]))
    planes = F.avg_pool3d(lines, (1, x.shape[3], 1))
    return planes.mean(dim=(2, 3, 4)).to(x.dtype)
