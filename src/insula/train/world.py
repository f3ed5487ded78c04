"""The processes that train together, one per device."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from insula.errors import IOFault, UsageError
from insula.infer import choose_device

__all__ = ["Votes", "World"]

# for a process that reads data or writes a state; a dead one is noticed at once on a CPU, else by torchrun or srun
_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class World:
    """The rank of this process among those that train together; alone by default.

    Every process holds the whole network and an equal share of each batch. The items of a step do not depend on the
    number of processes. Nor do its loss and gradients, except for rounding and for what each process computes on its
    own share: batch normalisation (running statistics are averaged) and the worst tenth of the voxels (`topk10`).
    """

    rank: int = 0
    """Rank of this process; rank 0 writes states, weights and the log."""
    size: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Index of the device that this process uses on its machine."""

    @classmethod
    def join(cls) -> World:
        """Join the other processes, if `torchrun` or an equivalent launcher started this one.

        Raises:
            UsageError: the environment variables of the launcher are incomplete.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
            return cls()
        try:
            rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            local = int(os.environ.get("LOCAL_RANK", rank))
        except (KeyError, ValueError) as error:
            raise UsageError("RANK", str(error), "is missing or not a number", "start the run with torchrun") from None
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if not dist.is_initialized():  # once per process: leaving and rejoining can fail to synchronise
            dist.init_process_group(backend, rank=rank, world_size=size, timeout=_PATIENCE)
            atexit.register(_leave)
        return cls(rank=rank, size=size, local_rank=local)

    def device(self, requested: str) -> torch.device:
        """Return the device of this process: its own GPU if there are several processes."""
        device = choose_device(requested)
        if self.size == 1 or device.type != "cuda":
            return device
        # a cluster may show each process only its own GPU; then it is the first one
        own = choose_device("cuda:0" if torch.cuda.device_count() == 1 else f"cuda:{self.local_rank}")
        torch.cuda.set_device(own)
        return own

    def share(self, items: int) -> range:
        """Return the items of a batch that belong to this process.

        Raises:
            UsageError: the batch cannot be divided evenly.
        """
        if items % self.size:
            rule = f"cannot be dealt out to {self.size} processes"
            fitting = -(-items // self.size) * self.size
            raise UsageError("a batch", items, rule, f"use a batch of {fitting} (train.batch, train.whole_batch)")
        own = items // self.size
        return range(self.rank * own, (self.rank + 1) * own)

    def agree(self, wish: int) -> int:
        """Return the largest wish of all processes, so that all act on it at the same step."""
        if self.size == 1:
            return wish
        greatest = torch.tensor(wish)
        _reduce(greatest, dist.ReduceOp.MAX)
        return int(greatest)

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes.

        All must compute the same from it: then the gradient of their mean loss needs no further message.
        """
        return tensor if self.size == 1 else _Sum.apply(tensor)  # type: ignore[no-untyped-call]

    def same(self, value: int) -> bool:
        """Return whether all processes have the same value."""
        return self.agree(value) == -self.agree(-value)

    def mean_of(self, value: float) -> float:
        """Return the mean of a value over all processes."""
        means = [torch.tensor(value)]
        self.mean(means)
        return float(means[0])

    def sum_in_place(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.size > 1:
            _reduce(tensor)

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean over all processes, in one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        _reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


class Votes:
    """What any process wishes, asked at every step without waiting for the others.

    Args:
        world: the processes that are asked.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._pending: tuple[Tensor, dist.Work] | None = None

    def cast(self, wish: int) -> int:
        """Send this process's wish; return the largest of all processes at the step before, alone that of this step."""
        if self._world.size == 1:
            return wish
        before, greatest = self._pending, torch.tensor(wish)
        with _lost_process():
            self._pending = greatest, dist.all_reduce(greatest, dist.ReduceOp.MAX, async_op=True)
            if before is None:
                return 0
            before[1].wait()
        return int(before[0])


def _leave() -> None:
    with suppress(RuntimeError):  # other processes may have ended
        dist.destroy_process_group()


def _reduce(tensor: Tensor, how: Any = dist.ReduceOp.SUM) -> None:
    with _lost_process():
        dist.all_reduce(tensor, how)


@contextmanager
def _lost_process() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        rule = f"is gone or cannot be reached ({str(error).splitlines()[0][-100:]})"
        remedy = "start all of them again with `resume`: the run is saved up to a few minutes ago"
        raise IOFault("another process of this run", "", rule, remedy) from error


# torch.distributed.nn sends a second message for the gradient, and is deprecated
class _Sum(torch.autograd.Function):
    """Differentiable sum over processes.

    All compute the same loss from it, so the gradient is the same in all of them. Each passes on the gradient of their
    summed losses.
    """

    @staticmethod
    def forward(_: object, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        _reduce(tensor)
        return tensor

    @staticmethod
    def backward(_: object, grad: Tensor) -> Tensor:
        return grad * dist.get_world_size()
