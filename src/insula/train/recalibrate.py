"""Recomputes batch-normalisation statistics for the averaged weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from insula.train.stream import Batch, Stream

__all__ = ["recalibrate"]


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
    model.eval()
    update_bn((_image(batch) for batch in stream.batches(first, first + batches)), model)


def _image(batch: Batch) -> Tensor:
    return batch.image.contiguous(memory_format=torch.channels_last_3d)
