"""The plain U-Net that the other models are measured against."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from insula.config import PlainUNet
from insula.models.unet import UNet
from insula.nn import ConvNormAct, ConvStage, Upsample

__all__ = ["build_plain_unet"]


class _Open(nn.Module):
    """A gate that passes the skip unchanged."""

    def forward(self, skip: Float[Tensor, "b c i j k"], coarse: Tensor) -> Float[Tensor, "b c i j k"]:
        return skip


def build_plain_unet(config: PlainUNet) -> UNet:
    """Build a plain U-Net with a supervised head at every decoder stage but the last.

    It has strided convolutions down, transposed ones up, and leaky ReLU.

    Source:
        Isensee 2021, nnU-Net, Nature Methods 18:203, as planned for one whole volume of 192 x 224 x 176 at a time.
    """
    widths, act = config.widths, nn.LeakyReLU
    strides = [(2, 2, 2)] * (len(widths) - 2) + [config.last_stride]
    pairs = list(zip(pairwise(widths), strides, strict=True))
    bottom = len(widths) - 2
    return UNet(
        encoders=[
            ConvStage(1, widths[0], norm=config.norm, act=act),
            *(ConvNormAct(width, width, norm=config.norm, act=act) for width in widths[1:]),
        ],
        downs=[
            (ConvNormAct(fine, coarse, norm=config.norm, act=act, stride=step), step) for (fine, coarse), step in pairs
        ],
        gates=[_Open() for _ in pairs],
        upsamples=[Upsample(coarse, fine, stride=step) for (fine, coarse), step in pairs],
        decoders=[ConvStage(2 * fine, fine, norm=config.norm, act=act) for fine in widths[:-1]],
        head=nn.Conv3d(widths[0], 1 + config.brain, kernel_size=1),
        sides=[nn.Conv3d(widths[level], 1, kernel_size=1) for level in range(1, bottom)],
    )
