"""The smart model."""

from __future__ import annotations

from itertools import cycle, pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from insula.config import MambaUNet
from insula.models.unet import UNet
from insula.nn import (
    AttentionGate,
    ConvStage,
    LesionMemory,
    MemoryAttention,
    SqueezeExcite,
    StateSpace,
    Upsample,
)
from insula.nn.memory import Bank

__all__ = ["MemoryUNet", "build_mamba_unet"]

_HEAD = 32  # channels of one head of a state space or of attention
_ORDERS = ((0, 1, 2), (1, 2, 0), (2, 0, 1))  # every axis is the fast one in turn


class MemoryUNet(UNet):
    """A U-Net whose two coarsest decoder stages ask a memory of this scan's likely lesions.

    Args:
        memory: at the coarsest stage; None for a net without.
        recalls: at the coarsest stage and at the one above it, if there is one below full resolution.
        fold: replaces the full-resolution stage: from the image to half its resolution; None keeps that stage.
        parts: as `UNet` takes them; with a fold, what stands at full resolution is not used but for the head.
    """

    def __init__(
        self, *, memory: LesionMemory | None, recalls: list[nn.Module], fold: nn.Module | None, **parts: Any
    ) -> None:  # fmt: skip
        super().__init__(**parts)
        self.memory, self.recalls, self.fold = memory, nn.ModuleList(recalls), fold

    def enter(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c2 i2 j2 k2"]:
        return super().enter(x) if self.fold is None else self.fold(x)

    def deep(self, x: Float[Tensor, "b c i j k"], coarse: list[Tensor] | None = None) -> Float[Tensor, "b c2 i j k"]:
        return self._deep_and_bank(x, coarse)[0]

    def _deep_and_bank(self, x: Tensor, coarse: list[Tensor] | None = None) -> tuple[Tensor, Bank | None]:
        stages = self.encode(x)
        x = stages.pop()
        bank = None
        if self.memory is not None:
            bank, logits = self.memory(x)
            if coarse is not None:
                coarse.append(logits)
            x = self.recalls[0](x, bank)
        last = len(self.encoders) - 1
        for level in range(last - 1, 0, -1):
            x = self._up(level, stages.pop(), x)
            if bank is not None and level == last - 1:
                x = self.recalls[1](x, bank)
        return x, bank

    def remember(self, x: Float[Tensor, "b 1 i j k"]) -> tuple[Bank, Float[Tensor, "b 1 i j k"]]:
        """The memory of each scan, and the logits; of a model that has a memory."""
        self.check_size(x)
        skip = self.shallow(x)
        deep, bank = self._deep_and_bank(self.enter(skip))
        assert bank is not None
        return bank, self.merge(skip, deep)

    def merge(
        self, skip: Float[Tensor, "b c i j k"], coarse: Float[Tensor, "b c2 i2 j2 k2"]
    ) -> Float[Tensor, "b 1 i j k"]:
        return super().merge(skip, coarse) if self.fold is None else self.head(coarse)


def build_mamba_unet(config: MambaUNet) -> MemoryUNet:
    """The enhanced model, with state-space blocks in its two coarsest encoder stages and a lesion memory.

    State-space blocks and the memory stand where the grid is small: at an eighth and a sixteenth of the resolution a
    brain of 192 x 224 x 176 has 14,784 and 1,848 tokens.

    Source:
        Blocks as in `insula.nn`; the place of the state space as in Ma 2024, U-Mamba, arXiv 2401.04722.
    """
    widths, last = config.widths, len(config.widths) - 1
    folds = config.stem == "space_to_depth"
    orders = cycle(_ORDERS)

    def stage(channels_in: int, level: int, *, scans: int = 0) -> nn.Module:
        channels = widths[level]
        block = ConvStage(channels_in, channels, norm=config.norm if level else config.full_norm, act=nn.GELU)
        if level == 0:
            return block
        mixers = [
            StateSpace(channels, heads=_heads(channels), state=config.state, order=next(orders)) for _ in range(scans)
        ]
        return nn.Sequential(block, SqueezeExcite(channels, config.reduction), *mixers)

    inputs = (1, 8 if folds else widths[0], *widths[1:-1])
    encoders = [stage(inputs[n], n, scans=config.scans if n >= max(last - 1, 1) else 0) for n in range(last + 1)]
    gates: list[nn.Module] = [AttentionGate(fine, coarse) for fine, coarse in pairwise(widths)]
    upsamples: list[nn.Module] = [Upsample(coarse, fine) for fine, coarse in pairwise(widths)]
    decoders = [stage(2 * fine, level) for level, fine in enumerate(widths[:-1])]
    head: nn.Module = nn.Conv3d(widths[0], 1, kernel_size=1)
    fold = None
    if folds:
        encoders[0] = gates[0] = upsamples[0] = decoders[0] = nn.Identity()
        fold, head = _space_to_depth(), nn.ConvTranspose3d(widths[1], 1, kernel_size=2, stride=2)
    memory, recalls = _memory(config)
    return MemoryUNet(
        memory=memory, recalls=recalls, fold=fold, encoders=encoders, gates=gates, upsamples=upsamples,
        decoders=decoders, head=head,
    )  # fmt: skip


def _memory(config: MambaUNet) -> tuple[LesionMemory | None, list[nn.Module]]:
    if config.memory == "off":
        return None, []
    last, width = len(config.widths) - 1, config.widths[-1]
    memory = LesionMemory(width, mode=config.memory, size=config.memory_size, stride=2**last)
    recalls: list[nn.Module] = [
        MemoryAttention(config.widths[level], width, heads=_heads(config.widths[level]), stride=2**level)
        for level in (last, last - 1)
        if level
    ]
    return memory, recalls


def _space_to_depth() -> nn.Conv3d:
    """A learnt 2x2x2 convolution of stride 2 that starts as the rearrangement of eight voxels into eight channels."""
    fold = nn.Conv3d(1, 8, kernel_size=2, stride=2, bias=False)
    with torch.no_grad():
        fold.weight.copy_(torch.eye(8).reshape(8, 1, 2, 2, 2))
    return fold


def _heads(channels: int) -> int:
    return max(channels // _HEAD, 1)
