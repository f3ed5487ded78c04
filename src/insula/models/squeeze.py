"""Squeeze-and-excitation of a U-Net's stage."""

from __future__ import annotations

from insula.config import MambaUNet, SEUNet
from insula.errors import UsageError
from insula.nn import SqueezeExcite

__all__ = ["squeeze_excite"]


def squeeze_excite(config: SEUNet | MambaUNet, level: int) -> SqueezeExcite:
    """Build the squeeze-and-excitation of a stage; level 0 is full resolution.

    A cell of its windows is a voxel of the coarsest stage, so windows cover the same part of the head at every stage.

    Raises:
        UsageError: the windows are not a whole number of cells.
    """
    last = len(config.widths) - 1
    window, rest = divmod(config.squeeze_window, 2**last)
    if rest or window < 0:
        rule = f"is not a multiple of {2**last}, the size of the coarsest stage's voxels"
        raise UsageError("model.squeeze_window", config.squeeze_window, rule, f"use {2**last * max(window, 1)}")
    return SqueezeExcite(config.widths[level], config.reduction, cell=2 ** (last - level), window=window)
