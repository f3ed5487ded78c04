"""Averages gradients and running statistics over all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from insula.nn.internals import copy_each
from insula.train.world import World

__all__ = ["Exchange"]


class Exchange:
    """The mean over all processes of gradients and of other tensors, in one message.

    The message is a buffer that stays in place. Afterwards the gradients are views of it: they are copied once, and a
    step that is recorded as a CUDA graph gains few kernels. See `docs/how-to/train.md` for what an exchange costs.

    Args:
        world: the processes; alone, nothing is exchanged.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._message: Tensor | None = None
        self._views: list[Tensor] = []

    @torch.no_grad()
    def mean(self, parameters: Sequence[nn.Parameter], others: Sequence[Tensor]) -> None:
        """Replace the gradients of parameters, all of which have one, and other tensors by their means."""
        if self._world.size == 1:
            return
        tensors = [parameter.grad for parameter in parameters if parameter.grad is not None] + list(others)
        if self._message is None or not _fits(self._views, tensors):
            self._message = torch.empty(sum(t.numel() for t in tensors), device=tensors[0].device)
            parts = self._message.split([tensor.numel() for tensor in tensors])
            self._views = [p.as_strided(t.shape, t.stride()) for p, t in zip(parts, tensors, strict=True)]
        copy_each(self._views, tensors)
        self._world.sum_in_place(self._message)
        self._message /= self._world.size
        for parameter, view in zip(parameters, self._views, strict=False):
            parameter.grad = view
        for other, view in zip(others, self._views[len(parameters) :], strict=True):
            other.copy_(view)


def _fits(views: list[Tensor], tensors: list[Tensor]) -> bool:
    return [(v.shape, v.stride()) for v in views] == [(t.shape, t.stride()) for t in tensors]
