"""Configurations of the networks; the tagged union below is the registry."""

from __future__ import annotations

from typing import Literal, TypeAlias

from insula.config.listing import knobs

__all__ = ["AttentionUNet", "MambaUNet", "ModelConfig", "Norm", "PlainUNet", "SEUNet", "Stem", "SwinUNet"]

Norm = Literal["batch", "instance", "group", "none"]
"""`instance` and `group` use the statistics of the volume at hand, `batch` fixed averages after training, `none`
nothing."""
Stem = Literal["full", "space_to_depth"]
"""`space_to_depth` has no stage at full resolution: 2x2x2 voxels become channels, and the reverse for the logits."""


@knobs
class AttentionUNet:
    """The baseline: a 3-D U-Net with additive attention gates on its skips, 5.6 M parameters."""

    kind: Literal["attention_unet"] = "attention_unet"
    """Tag of the union."""
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Channels per stage, full resolution first; each further stage halves the resolution."""
    norm: Norm = "batch"
    """Normalisation after each convolution below full resolution."""
    full_norm: Norm = "none"
    """Normalisation at full resolution; only `batch` and `none` can be computed in tiles. The input is normalised
    anyway."""
    stem: Stem = "space_to_depth"
    """`space_to_depth` has no stage at full resolution: 2x2x2 voxels become channels, and the reverse for the
    logits."""
    sides: int = 0
    """Decoder stages below full resolution with deep supervision in training."""
    brain: bool = True
    """Predict the brain as a second output; lesion probability is 0 outside the brain."""


@knobs
class SEUNet:
    """The enhanced baseline: squeeze-and-excitation, GELU and a deeper bottleneck, 7.5 M parameters."""

    kind: Literal["se_unet"] = "se_unet"
    """Tag of the union."""
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Channels per stage, full resolution first."""
    norm: Norm = "batch"
    """Normalisation after each convolution below full resolution; `instance` would remove what
    squeeze-and-excitation reads."""
    full_norm: Norm = "none"
    """Normalisation at full resolution; only `batch` and `none` can be computed in tiles. The input is normalised
    anyway."""
    stem: Stem = "space_to_depth"
    """`space_to_depth` has no stage at full resolution: 2x2x2 voxels become channels, and the reverse for the
    logits."""
    sides: int = 0
    """Decoder stages below full resolution with deep supervision in training."""
    brain: bool = True
    """Predict the brain as a second output; lesion probability is 0 outside the brain."""
    reduction: int = 4
    """Bottleneck of squeeze-and-excitation: channels / reduction."""
    squeeze_window: int = 96
    """Squeeze-and-excitation averages over windows of this many voxels along each axis, a multiple of 16; 0 for the
    whole volume. It should be what `train.crop` is: a network that was trained on crops finds other means in larger
    windows."""
    bottleneck_convs: int = 3
    """Convolutions at the coarsest stage."""


@knobs
class MambaUNet:
    """The smart model: the enhanced U-Net, state-space blocks and a lesion memory at the two coarsest stages, 8.3 M."""

    kind: Literal["mamba_unet"] = "mamba_unet"
    """Tag of the union."""
    widths: tuple[int, ...] = (16, 32, 64, 128, 320)
    """Channels per stage, full resolution first; the last two divisible by 32."""
    norm: Norm = "batch"
    """Normalisation after each convolution below full resolution."""
    full_norm: Norm = "none"
    """Normalisation at full resolution; only `batch` and `none` can be computed in tiles."""
    stem: Stem = "space_to_depth"
    """`space_to_depth` has no stage at full resolution: 2x2x2 voxels become channels, and the reverse for the
    logits."""
    sides: int = 0
    """Decoder stages below full resolution with deep supervision in training."""
    brain: bool = True
    """Predict the brain as a second output; lesion probability is 0 outside the brain."""
    reduction: int = 4
    """Bottleneck of squeeze-and-excitation: channels / reduction."""
    squeeze_window: int = 96
    """Windows of squeeze-and-excitation, with the meaning that they have in the enhanced model; 0 for the whole volume.
    The state space and the memory look at the whole volume in any case, which is why this model is trained on some
    whole heads too (`train.whole_fraction`)."""
    scans: int = 2
    """State-space blocks after each of the two coarsest encoder stages, each along different axes; 0 for none."""
    state: int = 16
    """Size of each head's state."""
    memory: Literal["off", "fifo", "self_sorting", "self_sorting_mirror"] = "self_sorting"
    """Rule for which tokens of the coarsest stage are remembered, to be queried by the two coarsest decoder stages."""
    memory_size: int = 64
    """Number of remembered tokens."""


@knobs
class SwinUNet:
    """The large model: Swin transformer blocks at the three coarsest stages, deep supervision, 15 M parameters."""

    kind: Literal["swin_unet"] = "swin_unet"
    """Tag of the union."""
    widths: tuple[int, ...] = (24, 48, 96, 192, 384)
    """Channels per stage, full resolution first; divisible by 32 at stages with Swin blocks."""
    blocks: tuple[int, ...] = (0, 0, 2, 4, 4)
    """Swin blocks per encoder stage, an even number each; a stage with 0 has two convolutions."""
    window: int = 4
    """Voxels along each side of an attention window, even."""
    norm: Norm = "batch"
    """Normalisation after each convolution below full resolution."""
    full_norm: Norm = "none"
    """Normalisation at full resolution."""
    brain: bool = True
    """Predict the brain as a second output; lesion probability is 0 outside the brain."""


@knobs
class PlainUNet:
    """The reference: the plain network that nnU-Net plans for whole volumes, with deep supervision, 31 M parameters."""

    kind: Literal["plain_unet"] = "plain_unet"
    """Tag of the union."""
    widths: tuple[int, ...] = (32, 64, 128, 256, 320, 320)
    """Channels per stage, full resolution first."""
    last_stride: tuple[int, int, int] = (2, 2, 1)
    """Stride of the coarsest stage: 176 voxels cannot be halved five times."""
    norm: Norm = "instance"
    """Normalisation after each convolution, at full resolution too, so it cannot be computed in tiles."""
    brain: bool = True
    """Predict the brain as a second output; lesion probability is 0 outside the brain."""


ModelConfig: TypeAlias = AttentionUNet | SEUNet | MambaUNet | SwinUNet | PlainUNet
"""Every network that insula can build, distinguished by `kind`."""
