"""Recording of GPU work as CUDA graphs, which replay it without launching each kernel anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

__all__ = ["Recorder"]

_T = TypeVar("_T")
_BEFORE_RECORDING = 3  # runs in which compilers, allocators and libraries settle
_one_at_a_time = threading.Lock()


class Recorder:
    """Replay work as CUDA graphs: the same kernels, launched all at once instead of singly.

    For each key the work is executed normally three times, recorded the fourth time, and replayed from then on. It must
    therefore be the same work for the same key: it reads what varies from tensors that stay in place, and never asks
    the device for a value. Without a GPU the work is always executed normally.

    Args:
        device: the device that does the work.
        on: whether to record; if off, the work is always executed normally.
    """

    def __init__(self, device: torch.device, *, on: bool = True) -> None:
        self.device, self.on = device, on and device.type == "cuda"
        self._recordings: dict[Hashable, _Recording[Any]] = {}
        self._shared: _Shared | None = None

    def run(self, key: Hashable, work: Callable[[], _T]) -> _T:
        """Run the work and return its result.

        Once recorded, the result is the same tensors each time, and the next run of any key overwrites them.
        """
        if not self.on:
            return work()
        if key not in self._recordings:
            if self._shared is None:
                self._shared = _Shared(torch.cuda.graph_pool_handle(), torch.cuda.Stream(self.device))
            self._recordings[key] = _Recording(self._shared)
        return self._recordings[key].play(work, self.device)

    def clear(self) -> None:
        """Forget all recordings; needed when the tensors that they read are replaced."""
        self._recordings.clear()
        self._shared = None  # its memory lives until the last tensor in it does


@dataclass(frozen=True)
class _Shared:
    """Resources shared by all recordings of a recorder, which are replayed one after the other."""

    pool: Any
    """Handle of torch's memory pool."""
    stream: torch.cuda.Stream
    """Stream of the first runs and of recording: memory is only reused on the stream that it was used on."""


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
            # other threads may continue meanwhile, but two must not record at once
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
        """Run the work on the side stream, as CUDA requires before a recording.

        It waits while another thread records: a compiler that tries its kernels synchronises the whole device, which
        ends a recording.
        """
        side, now = self.shared.stream, torch.cuda.current_stream(device)
        side.wait_stream(now)
        with _one_at_a_time, torch.cuda.stream(side):
            result = work()
        now.wait_stream(side)
        return result
