"""The baseline."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from insula.config import AttentionUNet
from insula.models.unet import UNet
from insula.nn import AttentionGate, ConvStage, Upsample

__all__ = ["build_attention_unet"]


def build_attention_unet(config: AttentionUNet) -> UNet:
    """Two 3x3x3 convolutions per stage, max-pooling down, transposed convolutions up, a gate on every skip.

    Source:
        Çiçek 2016, 3D U-Net, arXiv 1606.06650; Oktay 2018, Attention U-Net, arXiv 1804.03999.
    """
    widths = config.widths
    norms = (config.full_norm, *[config.norm] * (len(widths) - 1))
    return UNet(
        encoders=[ConvStage(a, b, norm=norm) for (a, b), norm in zip(pairwise((1, *widths)), norms, strict=True)],
        gates=[AttentionGate(fine, coarse) for fine, coarse in pairwise(widths)],
        upsamples=[Upsample(coarse, fine) for fine, coarse in pairwise(widths)],
        decoders=[ConvStage(2 * fine, fine, norm=norm) for fine, norm in zip(widths[:-1], norms[:-1], strict=True)],
        head=nn.Conv3d(widths[0], 1, kernel_size=1),
    )
