"""Work that a GPU has done before, done again without being told every kernel anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

__all__ = ["Recorder"]

_T = TypeVar("_T")
_BEFORE_RECORDING = 3  # times in which compilers, allocators and libraries settle
_one_at_a_time = threading.Lock()


class Recorder:
    """Plays work back as CUDA graphs, where there is a GPU: the same kernels, started at once instead of one by one.

    The first three times of each key the work is done as it is, the fourth time it is recorded, and from then on replayed. So it
    must be the same work for the same key: read what varies from tensors that stay where they are, and never ask
    the device for a value.

    Args:
        device: where the work is done.
        on: off, everything is done as it is, always.
    """

    def __init__(self, device: torch.device, *, on: bool = True) -> None:
        self.device, self.on = device, on and device.type == "cuda"
        self._recordings: dict[Hashable, _Recording[Any]] = {}
        self._shared: _Shared | None = None

    def run(self, key: Hashable, work: Callable[[], _T]) -> _T:
        """What the work returns; where it was recorded, the same tensors each time, overwritten by the next run of any key."""
        if not self.on:
            return work()
        if key not in self._recordings:
            if self._shared is None:
                self._shared = _Shared(torch.cuda.graph_pool_handle(), torch.cuda.Stream(self.device))
            self._recordings[key] = _Recording(self._shared)
        return self._recordings[key].play(work, self.device)

    def clear(self) -> None:
        """Forget all of it: the tensors that were read are no longer the ones to read."""
        self._recordings.clear()
        self._shared = None  # its memory lives until the last tensor in it does


@dataclass(frozen=True)
class _Shared:
    """What all recordings of a recorder have in common, as they are played one after the other."""

    pool: Any
    """Memory, as torch names it."""
    stream: torch.cuda.Stream
    """Where work is done for the first times, and recorded: memory is only used again on the stream that it was used on."""


@dataclass
class _Recording(Generic[_T]):
    shared: _Shared
    played: int = 0
    graph: torch.cuda.CUDAGraph | None = None
    result: Any = None

    def play(self, work: Callable[[], _T], device: torch.device) -> _T:
        self.played += 1
        if self.played <= _BEFORE_RECORDING:
            return self._aside(work, device)
        if self.graph is None:
            graph = torch.cuda.CUDAGraph()
            # other threads go on meanwhile, and may; but two do not record at once
            with (
                _one_at_a_time,
                torch.cuda.graph(
                    graph, pool=self.shared.pool, stream=self.shared.stream, capture_error_mode="thread_local"
                ),
            ):
                self.result = work()
            self.graph = graph
        self.graph.replay()
        return self.result

    def _aside(self, work: Callable[[], _T], device: torch.device) -> _T:
        """On a stream of its own, as recording asks of what comes before it.

        Not while another thread records: a compiler that tries its kernels waits for the whole device, which ends a recording.
        """
        side, now = self.shared.stream, torch.cuda.current_stream(device)
        side.wait_stream(now)
        with _one_at_a_time, torch.cuda.stream(side):
            result = work()
        now.wait_stream(side)
        return result
