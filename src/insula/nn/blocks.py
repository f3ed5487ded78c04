"""The stages of a U-Net: convolution, normalisation, activation."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from insula.config.models import Norm
from insula.types import Shape

__all__ = ["ConvNormAct", "ConvStage", "Upsample", "make_norm"]


def make_norm(kind: Norm, channels: int) -> nn.Module:
    """Return the normalisation layer for (b, c, i, j, k).

    At inference `batch` and `none` are fixed functions of each voxel; the other two depend on the whole volume.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return nn.BatchNorm3d(channels)
    # one channel per group; torch's InstanceNorm3d computes the same 3 to 5 times slower on a CPU
    if kind == "instance":
        return nn.GroupNorm(channels, channels)
    return nn.GroupNorm(min(8, channels), channels)


class ConvNormAct(nn.Sequential):
    """A 3x3x3 convolution with its normalisation and activation; the grid stays the same unless `stride` is above 1.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        norm: `batch`, `instance`, `group` or `none`. With `none` the convolution has a bias, and its initial weights
            keep the variance, which no normalisation then does.
        act: class of the activation.
        stride: stride of the convolution; above 1 the grid gets coarser.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        norm: Norm,
        act: type[nn.Module] = nn.ReLU,
        stride: Shape = (1, 1, 1),
    ) -> None:
        conv = nn.Conv3d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=norm == "none")
        if conv.bias is not None:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        super().__init__(conv, make_norm(norm, channels_out), act())


class ConvStage(nn.Sequential):
    """A sequence of `convs` convolutions at one resolution, each with normalisation and activation."""

    def __init__(
        self, channels_in: int, channels_out: int, *, norm: Norm, act: type[nn.Module] = nn.ReLU, convs: int = 2
    ) -> None:
        widths = [channels_in] + [channels_out] * convs
        super().__init__(*(ConvNormAct(a, b, norm=norm, act=act) for a, b in pairwise(widths)))


class Upsample(nn.Module):
    """A learnt transposed convolution to a finer grid: each coarse voxel fills its own 2x2x2 block (or `stride`)."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: Shape = (2, 2, 2)) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(channels_in, channels_out, kernel_size=stride, stride=stride)

    def forward(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c2 i2 j2 k2"]:
        return self.conv(x)  # (b, c2, 2i, 2j, 2k)
