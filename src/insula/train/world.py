"""The processes that train together, one for each device."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from insula.errors import IOFault, UsageError
from insula.infer import choose_device

__all__ = ["World"]

_PATIENCE = timedelta(
    minutes=10
)  # for a process that reads its data or writes a state; a dead one is noticed at once on a CPU, and by torchrun or srun elsewhere


@dataclass(frozen=True)
class World:
    """Who this process is among those that train together; alone by default.

    Every process holds the whole network and an equal share of each batch. Which items a step sees does not depend on how many
    processes there are, and neither do its loss and gradients, but for rounding and for what each process does for its own share:
    batch normalisation (running statistics are averaged), and choosing the worst tenth of the voxels (`topk10`).
    """

    rank: int = 0
    """0 writes states, weights and the log."""
    size: int = 1
    """How many processes."""
    local_rank: int = 0
    """Which of its machine's devices this process takes."""

    @classmethod
    def join(cls) -> World:
        """Meet the others, if this process was started by `torchrun` or something that sets the same variables.

        Raises:
            UsageError: the variables contradict each other.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
            return cls()
        try:
            rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            local = int(os.environ.get("LOCAL_RANK", rank))
        except (KeyError, ValueError) as error:
            raise UsageError("RANK", str(error), "is missing or no number", "start the run with torchrun") from None
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if not dist.is_initialized():  # once for all runs of a process: leaving and meeting again can miss each other
            dist.init_process_group(backend, rank=rank, world_size=size, timeout=_PATIENCE)
            atexit.register(_leave)
        return cls(rank=rank, size=size, local_rank=local)

    def device(self, asked: str) -> torch.device:
        """The device of this process: its own GPU, if there is more than one process."""
        device = choose_device(asked)
        if self.size == 1 or device.type != "cuda":
            return device
        # a queue may let each process see its own GPU only; then that is its first
        own = choose_device("cuda:0" if torch.cuda.device_count() == 1 else f"cuda:{self.local_rank}")
        torch.cuda.set_device(own)
        return own

    def share(self, items: int) -> range:
        """Which items of a batch are this process's.

        Raises:
            UsageError: the batch cannot be dealt out evenly.
        """
        if items % self.size:
            rule = f"cannot be dealt out to {self.size} processes"
            fitting = -(-items // self.size) * self.size
            raise UsageError("a batch", items, rule, f"take one of {fitting} (train.batch, train.whole_batch)")
        own = items // self.size
        return range(self.rank * own, (self.rank + 1) * own)

    def agree(self, wish: int) -> int:
        """The greatest of all processes' wishes: what one wants, all do, at the same step."""
        if self.size == 1:
            return wish
        told = torch.tensor(wish)
        _reduce(told, dist.ReduceOp.MAX)
        return int(told)

    def total(self, x: Tensor) -> Tensor:
        """The sum over all processes; its gradient too."""
        return x if self.size == 1 else _Sum.apply(x)  # type: ignore[no-untyped-call]

    def same(self, value: int) -> bool:
        """Whether all processes have it."""
        return self.agree(value) == -self.agree(-value)

    def mean_of(self, value: float) -> float:
        """The mean of what every process says."""
        told = [torch.tensor(value)]
        self.mean(told)
        return float(told[0])

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean over all processes, in one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        _reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def _leave() -> None:
    with suppress(RuntimeError):  # others may be gone
        dist.destroy_process_group()


def _reduce(x: Tensor, how: Any = dist.ReduceOp.SUM) -> None:
    try:
        dist.all_reduce(x, how)
    except RuntimeError as error:
        rule = f"is gone or cannot be reached ({str(error).splitlines()[0][-100:]})"
        remedy = "start all of them again with --resume: the run is saved up to a few minutes ago"
        raise IOFault("another process of this run", "", rule, remedy) from error


class _Sum(torch.autograd.Function):
    """A sum over processes. Every process computes the same loss from it, so gradients come back summed as well."""

    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:
        x = x.clone()
        _reduce(x)
        return x

    @staticmethod
    def backward(_: object, grad: Tensor) -> Tensor:
        grad = grad.clone()
        _reduce(grad)
        return grad
