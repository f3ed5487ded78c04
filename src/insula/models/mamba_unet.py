"""The U-Net with state-space blocks and a memory of likely lesions."""

from __future__ import annotations

from itertools import cycle, pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from insula.config import MambaUNet
from insula.models.squeeze import squeeze_excite
from insula.models.stem import channels_in, with_stem
from insula.models.unet import UNet
from insula.nn import (
    AttentionGate,
    ConvStage,
    LesionMemory,
    MemoryAttention,
    StateSpace,
    Upsample,
)
from insula.nn.memory import Bank

__all__ = ["MemoryUNet", "build_mamba_unet"]

_HEAD = 32  # channels of one head of a state space or of attention
_ORDERS = ((0, 1, 2), (1, 2, 0), (2, 0, 1))  # every axis is the fast one in turn


class MemoryUNet(UNet):
    """A U-Net whose two coarsest decoder stages query a memory of this scan's likely lesions.

    Args:
        memory: the memory at the coarsest stage; None for a network without one.
        recalls: attention to the memory, at the coarsest stage and at the one above it if that is below full
            resolution.
        parts: the arguments of `UNet`.
    """

    def __init__(self, *, memory: LesionMemory | None, recalls: list[nn.Module], **parts: Any) -> None:
        super().__init__(**parts)
        self.memory, self.recalls = memory, nn.ModuleList(recalls)

    def deep(self, x: Float[Tensor, "b c i j k"], coarse: list[Tensor] | None = None) -> Float[Tensor, "b c2 i j k"]:
        return self._deep_and_bank(x, coarse)[0]

    def _deep_and_bank(self, x: Tensor, coarse: list[Tensor] | None = None) -> tuple[Tensor, Bank | None]:
        stages = self.encode(x)
        if self.memory is None:
            return self.decode(stages, coarse), None
        bank, logits = self.memory(stages[-1])
        if coarse is not None:
            coarse.append(logits)
        last = len(self.encoders) - 1

        def recall(level: int, features: Tensor) -> Tensor:
            return self.recalls[last - level](features, bank) if last - level < len(self.recalls) else features

        return self.decode(stages, coarse, recall), bank

    def remember(self, x: Float[Tensor, "b 1 i j k"]) -> tuple[Bank, Float[Tensor, "b c i j k"]]:
        """Return the memory of each scan, and the logits; only for a model that has a memory."""
        self.check_size(x)
        skip = self.shallow(x)
        deep, bank = self._deep_and_bank(self.enter(skip))
        assert bank is not None
        return bank, self.merge(skip, deep)


def build_mamba_unet(config: MambaUNet) -> MemoryUNet:
    """Build the enhanced model with state-space blocks in its two coarsest encoder stages and a lesion memory.

    State-space blocks and the memory are placed where the grid is small: at an eighth and a sixteenth of the resolution
    a brain of 192 x 224 x 176 has 14,784 and 1,848 tokens.

    Source:
        Blocks as in `insula.nn`; the place of the state space as in Ma 2024, U-Mamba, arXiv 2401.04722.
    """
    widths, last = config.widths, len(config.widths) - 1
    orders = cycle(_ORDERS)

    def stage(channels_in: int, level: int, *, scans: int = 0) -> nn.Module:
        channels = widths[level]
        block = ConvStage(channels_in, channels, norm=config.norm if level else config.full_norm, act=nn.GELU)
        if level == 0:
            return block
        mixers = [
            StateSpace(channels, heads=_heads(channels), state=config.state, order=next(orders)) for _ in range(scans)
        ]
        return nn.Sequential(block, squeeze_excite(config, level), *mixers)

    encoders = [
        stage(n, level, scans=config.scans if level >= max(last - 1, 1) else 0)
        for level, n in enumerate(channels_in(config.stem, widths))
    ]
    parts = with_stem(
        config.stem,
        widths,
        outputs=1 + config.brain,
        sides=config.sides,
        encoders=encoders,
        gates=[AttentionGate(fine, coarse) for fine, coarse in pairwise(widths)],
        upsamples=[Upsample(coarse, fine) for fine, coarse in pairwise(widths)],
        decoders=[stage(2 * fine, level) for level, fine in enumerate(widths[:-1])],
    )
    memory, recalls = _memory(config)
    return MemoryUNet(memory=memory, recalls=recalls, **parts)


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


def _heads(channels: int) -> int:
    return max(channels // _HEAD, 1)
