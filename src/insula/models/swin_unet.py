"""The large model: a U-Net with window attention where the grid is coarse."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from insula.config import SwinUNet
from insula.config.models import Norm
from insula.models.unet import UNet
from insula.nn import AttentionGate, ConvStage, SwinBlock, Upsample

__all__ = ["build_swin_unet"]

_HEAD = 32  # channels of one attention head


def build_swin_unet(config: SwinUNet) -> UNet:
    """Build a U-Net of convolutions where the grid is fine and of Swin blocks where it is coarse.

    Every decoder stage has a supervised head.

    Source:
        Hatamizadeh 2022, Swin UNETR, arXiv 2201.01266 (Swin encoder, convolutional decoder); gates as in the baseline.
    """
    widths = config.widths

    def norm_at(level: int) -> Norm:
        return config.norm if level else config.full_norm

    def stage(level: int) -> nn.Module:
        width, count = widths[level], config.blocks[level]
        if not count:
            return ConvStage(width if level else 1, width, norm=norm_at(level))
        heads = max(width // _HEAD, 1)
        return nn.Sequential(
            *(SwinBlock(width, heads=heads, window=config.window, shifted=bool(n % 2)) for n in range(count))
        )

    return UNet(
        encoders=[stage(level) for level in range(len(widths))],
        downs=[(nn.Conv3d(fine, coarse, kernel_size=2, stride=2), (2, 2, 2)) for fine, coarse in pairwise(widths)],
        gates=[AttentionGate(fine, coarse) for fine, coarse in pairwise(widths)],
        upsamples=[Upsample(coarse, fine) for fine, coarse in pairwise(widths)],
        decoders=[ConvStage(2 * fine, fine, norm=norm_at(level)) for level, fine in enumerate(widths[:-1])],
        head=nn.Conv3d(widths[0], 1 + config.brain, kernel_size=1),
        sides=[nn.Conv3d(width, 1, kernel_size=1) for width in widths[1:-1]],
    )
