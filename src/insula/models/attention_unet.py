"""The baseline model: an attention U-Net."""

from __future__ import annotations

from itertools import pairwise

from insula.config import AttentionUNet
from insula.models.stem import channels_in, with_stem
from insula.models.unet import UNet
from insula.nn import AttentionGate, ConvStage, Upsample

__all__ = ["build_attention_unet"]


def build_attention_unet(config: AttentionUNet) -> UNet:
    """Build the baseline.

    It has two 3x3x3 convolutions per stage, max-pooling, transposed convolutions and an attention gate on every skip.

    Source:
        Çiçek 2016, 3D U-Net, arXiv 1606.06650; Oktay 2018, Attention U-Net, arXiv 1804.03999.
    """
    widths = config.widths
    norms = (config.full_norm, *[config.norm] * (len(widths) - 1))
    stages = zip(channels_in(config.stem, widths), widths, norms, strict=True)
    return UNet(
        **with_stem(
            config.stem,
            widths,
            outputs=1 + config.brain,
            sides=config.sides,
            encoders=[ConvStage(a, b, norm=norm) for a, b, norm in stages],
            gates=[AttentionGate(fine, coarse) for fine, coarse in pairwise(widths)],
            upsamples=[Upsample(coarse, fine) for fine, coarse in pairwise(widths)],
            decoders=[ConvStage(2 * fine, fine, norm=norm) for fine, norm in zip(widths[:-1], norms[:-1], strict=True)],
        )
    )
