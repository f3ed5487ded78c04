"""A loss as a function of sums over a batch, so that processes can share the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["BatchLoss", "Logits", "Scalar", "Sums", "Total", "alone", "weighted_sum"]

Logits = Float[Tensor, "b 1 i j k"]
Scalar = Float[Tensor, ""]
Sums = Float[Tensor, " _"]
Total = Callable[[Tensor], Tensor]
"""A function that turns sums over this process's part of a batch into sums over the batch."""


def alone(part: Tensor) -> Tensor:
    """Return sums unchanged: one process has the whole batch."""
    return part


@dataclass(frozen=True)
class BatchLoss:
    """A loss that depends on the voxels of a batch only through a few sums over them.

    Each process computes the sums of its own part; their total gives the loss, the same in every process. Called with
    logits and truth, it is the loss of one process that has the whole batch.
    """

    sums: Callable[..., Sums]
    """The sums over a part of a batch, from its logits and truth."""
    length: int
    """The number of sums."""
    of: Callable[[Sums], Scalar]
    """The loss, from the sums over the whole batch."""

    def __call__(self, logits: Any, truth: Tensor) -> Scalar:
        return self.of(self.sums(logits, truth))


def weighted_sum(terms: Sequence[tuple[float, BatchLoss, Sums]], total: Total = alone) -> Scalar:
    """Return the weighted sum of losses, whose sums are all added up in one message.

    Args:
        terms: weight, loss, and the sums over this process's part of the batch.
        total: turns sums over this process's part into sums over the batch.
    """
    whole = total(torch.cat([sums for _, _, sums in terms]))
    parts = whole.split([len(sums) for _, _, sums in terms])
    losses = [weight * loss.of(part) for (weight, loss, _), part in zip(terms, parts, strict=True)]
    return torch.stack(losses).sum()
