"""The networks, as data: the tagged union below is the registry."""

from __future__ import annotations

from typing import Literal, TypeAlias

from insula.config.listing import knobs

__all__ = ["AttentionUNet", "MambaUNet", "ModelConfig", "Norm", "PlainUNet", "SEUNet", "Stem", "SwinUNet"]

Norm = Literal["batch", "instance", "group", "none"]
"""`instance` and `group` look at the volume at hand, `batch` at a fixed average once training is over, `none` not."""
Stem = Literal["full", "space_to_depth"]
"""`space_to_depth` has no stage at full resolution: 2x2x2 voxels become channels, and logits come back the same way."""


@knobs
class AttentionUNet:
    """The baseline: a 3-D U-Net with additive attention gates on its skips, 5.7 M parameters."""

    kind: Literal["attention_unet"] = "attention_unet"
    """The tag."""
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Channels per stage, full resolution first; each further stage halves the resolution."""
    norm: Norm = "instance"
    """Normalisation after each convolution below full resolution."""
    full_norm: Norm = "none"
    """And at full resolution, where `batch` and `none` alone can be computed in tiles; the input is normalised anyway."""
    stem: Stem = "full"
    """`space_to_depth` has no stage at full resolution: 2x2x2 voxels become channels, and logits come back the same way."""
    sides: int = 0
    """Decoder stages below full resolution that training supervises as well."""
    brain: bool = True
    """A second output, the brain: lesion probability ends where it ends."""


@knobs
class SEUNet:
    """The enhancement: the baseline with squeeze-and-excitation, GELU and a deeper bottleneck, 7.5 M parameters."""

    kind: Literal["se_unet"] = "se_unet"
    """The tag."""
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Channels per stage, full resolution first."""
    norm: Norm = "group"
    """Normalisation after each convolution below full resolution; `instance` would even out what squeezing reads."""
    full_norm: Norm = "none"
    """And at full resolution, where `batch` and `none` alone can be computed in tiles; the input is normalised anyway."""
    stem: Stem = "full"
    """`space_to_depth` has no stage at full resolution: 2x2x2 voxels become channels, and logits come back the same way."""
    sides: int = 0
    """Decoder stages below full resolution that training supervises as well."""
    brain: bool = True
    """A second output, the brain: lesion probability ends where it ends."""
    reduction: int = 4
    """Squeeze-and-excitation's bottleneck: channels / reduction."""
    bottleneck_convs: int = 3
    """Convolutions at the coarsest stage."""


@knobs
class MambaUNet:
    """The smart model: the enhanced U-Net with state-space blocks and a lesion memory at its two coarsest stages, 8.4 M."""

    kind: Literal["mamba_unet"] = "mamba_unet"
    """The tag."""
    widths: tuple[int, ...] = (16, 32, 64, 128, 320)
    """Channels per stage, full resolution first; the last two divisible by 32."""
    norm: Norm = "group"
    """Normalisation after each convolution below full resolution."""
    full_norm: Norm = "none"
    """And at full resolution, where `batch` and `none` alone can be computed in tiles."""
    stem: Stem = "full"
    """`space_to_depth` has no stage at full resolution: 2x2x2 voxels become channels, and logits come back the same way."""
    sides: int = 0
    """Decoder stages below full resolution that training supervises as well."""
    brain: bool = True
    """A second output, the brain: lesion probability ends where it ends."""
    reduction: int = 4
    """Squeeze-and-excitation's bottleneck: channels / reduction."""
    scans: int = 2
    """State-space blocks after each of the two coarsest encoder stages, every one along other axes; 0 for none."""
    state: int = 16
    """Size of each head's state."""
    memory: Literal["off", "fifo", "self_sorting", "self_sorting_mirror"] = "self_sorting"
    """Which tokens of the coarsest stage are remembered, and asked for by the two coarsest decoder stages."""
    memory_size: int = 64
    """How many of them."""


@knobs
class SwinUNet:
    """The large one: Swin transformer blocks at the three coarsest stages, deep supervision, 15 M parameters."""

    kind: Literal["swin_unet"] = "swin_unet"
    """The tag."""
    widths: tuple[int, ...] = (24, 48, 96, 192, 384)
    """Channels per stage, full resolution first; those with blocks divisible by 32."""
    blocks: tuple[int, ...] = (0, 0, 2, 4, 4)
    """Swin blocks per encoder stage, an even number each; a stage without has two convolutions."""
    window: int = 4
    """Voxels along each side of an attention window, even."""
    norm: Norm = "instance"
    """Normalisation after each convolution below full resolution."""
    full_norm: Norm = "none"
    """And at full resolution."""
    brain: bool = True
    """A second output, the brain: lesion probability ends where it ends."""


@knobs
class PlainUNet:
    """The yardstick: the plain network that nnU-Net plans for whole volumes, with deep supervision, 31 M parameters."""

    kind: Literal["plain_unet"] = "plain_unet"
    """The tag."""
    widths: tuple[int, ...] = (32, 64, 128, 256, 320, 320)
    """Channels per stage, full resolution first."""
    last_stride: tuple[int, int, int] = (2, 2, 1)
    """Of the coarsest stage: 176 voxels cannot be halved five times."""
    norm: Norm = "instance"
    """Normalisation after each convolution, at full resolution too, so it cannot be computed in tiles."""
    brain: bool = True
    """A second output, the brain: lesion probability ends where it ends."""


ModelConfig: TypeAlias = AttentionUNet | SEUNet | MambaUNet | SwinUNet | PlainUNet
"""Every network insula can build, told apart by `kind`."""
