"""Recomputes batch-normalisation statistics for the averaged weights."""

from __future__ import annotations

import torch
from torch import nn

from insula.train.stream import Stream

__all__ = ["recalibrate"]


@torch.no_grad()
def recalibrate(model: nn.Module, stream: Stream, *, first: int, batches: int) -> None:
    """Replace every running mean and variance by its plain average over fresh batches.

    The running statistics belong to the trained weights, not to their average; a few batches correct that.

    Args:
        model: the network; only its statistics change, and it is left in evaluation mode.
        stream: the source of batches.
        first: step of the first batch used.
        batches: number of batches.

    Source:
        Wu and Johnson 2021, Rethinking "Batch" in BatchNorm, arXiv 2105.07576, section 3.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # means cumulative average in torch
    model.train()
    for batch in stream.batches(first, first + batches):
        model(batch.image.contiguous(memory_format=torch.channels_last_3d))
    model.eval()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
