"""Time, memory, and how far the hardware's limits are."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Cost", "Limits", "Work", "cost_of", "limits_of", "work_of"]

_WARM, _PROFILED = 6, 3
_SIDE = {"cuda": 8192, "cpu": 1024}  # of the matrices that tell the rate of arithmetic
_COPIED = {"cuda": 2**30, "cpu": 2**27}  # bytes that tell the rate of memory


@dataclass(frozen=True)
class Limits:
    """What the machine can do, measured now."""

    tflops: float
    """Of a product of large matrices, bfloat16 on a GPU and float32 elsewhere [10^12/s]."""
    gb_per_s: float
    """Of a copy within its memory, bytes read and written [10^9/s]."""


@dataclass(frozen=True)
class Work:
    """What one step has to do, counted while it is done once, operation by operation."""

    tflop: float
    """Multiplications and additions of convolutions and matrix products, forward and backward [10^12]."""
    gb: float
    """Bytes that its operations read and write, each on its own [10^9]; what is fused moves less."""


@dataclass(frozen=True)
class Cost:
    """What one step costs."""

    ms: float
    """Mean of steps that follow each other."""
    gib: float
    """Peak of the GPU's memory, the first steps and what else lies there included; 0 without one."""
    busy: float | None
    """Share of the time in which the GPU computes; None without one."""


def limits_of(device: torch.device) -> Limits:
    """Measure a device."""
    side, size = _SIDE[device.type], _COPIED[device.type]
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)
    product = _seconds(lambda: a @ a, device, 10)
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _seconds(lambda: target.copy_(source), device, 10)
    return Limits(tflops=2 * side**3 / product / 1e12, gb_per_s=2 * size / copy / 1e9)


def cost_of(step: Callable[[], Any], device: torch.device, *, repeats: int) -> Cost:
    """Time steps that follow each other, after some to warm up."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)  # before a step is recorded: what is replayed allocates nothing
    for _ in range(_WARM if cuda else 1):
        step()
    if cuda:
        torch.cuda.synchronize(device)
    seconds = _seconds(step, device, repeats)
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if cuda else 0.0
    return Cost(ms=1000 * seconds, gib=peak, busy=_busy(step, seconds) if cuda else None)


def work_of(once: Callable[[], Any]) -> Work:
    """Count the operations of one eager forward and backward pass, and their bytes."""
    flops, traffic = FlopCounterMode(display=False), _Traffic()
    with flops, traffic:
        once()
    return Work(tflop=flops.get_total_flops() / 1e12, gb=traffic.total / 1e9)


def _seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Mean of several in a row on a GPU, where starting and computing overlap; median elsewhere."""
    if device.type != "cuda":
        times = []
        for _ in range(repeats):
            begun = time.perf_counter()
            work()
            times.append(time.perf_counter() - begun)
        return statistics.median(times)
    work()
    torch.cuda.synchronize(device)
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    torch.cuda.synchronize(device)
    return (time.perf_counter() - begun) / repeats


def _busy(step: Callable[[], Any], seconds: float) -> float:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as told:
        for _ in range(_PROFILED):
            step()
        torch.cuda.synchronize()
    computing = sum(event.self_device_time_total for event in told.key_averages()) / 1e6 / _PROFILED
    return min(computing / seconds, 1.0)


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of what operations take and give; a view moves nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        if not view:
            self.total += sum(
                x.nbytes for x in (*_tensors(args), *_tensors((kwargs or {}).values()), *_tensors([given]))
            )
        return given


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found
