"""The enhanced model: the baseline with squeeze-and-excitation."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from insula.config import SEUNet
from insula.models.squeeze import squeeze_excite
from insula.models.stem import channels_in, with_stem
from insula.models.unet import UNet
from insula.nn import AttentionGate, ConvStage, Upsample

__all__ = ["build_se_unet"]


def build_se_unet(config: SEUNet) -> UNet:
    """Build the baseline with GELU, squeeze-and-excitation below full resolution, one more convolution at the bottom.

    Squeeze-and-excitation looks beyond the neighbouring voxels. It is left out at full resolution, for 16 of 976
    channels, so that this stage stays local and the model can still be computed in tiles.
    """
    widths, last = config.widths, len(config.widths) - 1

    def stage(channels_in: int, level: int) -> nn.Module:
        convs = config.bottleneck_convs if level == last else 2
        norm = config.norm if level else config.full_norm
        block = ConvStage(channels_in, widths[level], norm=norm, act=nn.GELU, convs=convs)
        return block if level == 0 else nn.Sequential(block, squeeze_excite(config, level))

    return UNet(
        **with_stem(
            config.stem,
            widths,
            outputs=1 + config.brain,
            sides=config.sides,
            encoders=[stage(n, level) for level, n in enumerate(channels_in(config.stem, widths))],
            gates=[AttentionGate(fine, coarse) for fine, coarse in pairwise(widths)],
            upsamples=[Upsample(coarse, fine) for fine, coarse in pairwise(widths)],
            decoders=[stage(2 * fine, level) for level, fine in enumerate(widths[:-1])],
        )
    )
