"""Statistics of batch normalisation, measured once more for the weights that are kept."""

from __future__ import annotations

import torch
from torch import nn

from insula.train.stream import Stream

__all__ = ["recalibrate"]


@torch.no_grad()
def recalibrate(model: nn.Module, stream: Stream, *, first: int, batches: int) -> None:
    """Replace every running mean and variance by its plain average over fresh batches.

    Averaged weights were never the ones whose activations were averaged; a few batches put that right.

    Args:
        model: its statistics are changed, its weights are not; left in evaluation mode.
        stream: where batches come from.
        first: the step whose batch is the first one used.
        batches: how many.

    Source:
        Wu and Johnson 2021, Rethinking "Batch" in BatchNorm, arXiv 2105.07576, section 3.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's spelling of a cumulative average
    model.train()
    for batch in stream.batches(first, first + batches):
        model(batch.image.contiguous(memory_format=torch.channels_last_3d))
    model.eval()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
