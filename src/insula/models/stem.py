"""Input and output of a U-Net: at full resolution, or folded to half of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from insula.config.models import Stem
from insula.errors import UsageError

__all__ = ["channels_in", "with_stem"]

_FOLDED = 8  # voxels of a 2x2x2 block


def channels_in(stem: Stem, widths: Sequence[int]) -> tuple[int, ...]:
    """Return the number of input channels of each encoder stage."""
    return (1, _FOLDED if stem == "space_to_depth" else widths[0], *widths[1:-1])


def with_stem(stem: Stem, widths: Sequence[int], *, outputs: int, sides: int = 0, **parts: Any) -> dict[str, Any]:
    """Return the arguments of `UNet`: the given stages, the heads and the stem.

    Args:
        stem: `space_to_depth` removes the stage at full resolution from every list of `parts`.
        widths: channels per stage.
        outputs: channels of the head: lesion, and brain if the model has it.
        sides: number of decoder stages below full resolution that get a head of their own.
        parts: `encoders`, `gates`, `upsamples`, `decoders`, full resolution first.

    Raises:
        UsageError: `sides` exceeds the number of such stages.
    """
    if sides > len(widths) - 2:
        rule = f"is more than the {len(widths) - 2} decoder stages below full resolution"
        raise UsageError("model.sides", sides, rule, f"use {len(widths) - 2} at most")
    parts["sides"] = [nn.Conv3d(width, 1, kernel_size=1) for width in widths[1 : 1 + sides]]
    if stem == "full":
        return {**parts, "head": nn.Conv3d(widths[0], outputs, kernel_size=1)}
    for name in ("encoders", "gates", "upsamples", "decoders"):
        parts[name][0] = nn.Identity()
    pools = [nn.MaxPool3d(2) for _ in widths[2:]]
    downs = [(down, (2, 2, 2)) for down in (_space_to_depth(), *pools)]
    return {**parts, "downs": downs, "head": nn.ConvTranspose3d(widths[1], outputs, kernel_size=2, stride=2)}


def _space_to_depth() -> nn.Conv3d:
    """Return a learnt 2x2x2 convolution of stride 2, initialised to move eight voxels into eight channels."""
    fold = nn.Conv3d(1, _FOLDED, kernel_size=2, stride=2, bias=False)
    with torch.no_grad():
        fold.weight.copy_(torch.eye(_FOLDED).reshape(_FOLDED, 1, 2, 2, 2))
    return fold
