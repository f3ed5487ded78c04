"""Measures time and memory, and compares them with the limits of the hardware."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from insula.nn.internals import watched_operations

__all__ = ["Cost", "DeviceLimits", "Work", "cost_of", "limits_of", "work_of"]

_WARM, _PROFILED = 6, 3
_SIDE = {"cuda": 8192, "cpu": 1024}  # side of the matrices that measure the arithmetic rate
_COPIED = {"cuda": 2**30, "cpu": 2**27}  # bytes copied to measure the memory bandwidth


@dataclass(frozen=True)
class DeviceLimits:
    """Measured limits of the machine."""

    tflops: float
    """Rate of a product of large matrices, bfloat16 on a GPU and float32 elsewhere [10^12/s]."""
    gb_per_s: float
    """Rate of a copy within memory, counting bytes read and written [10^9/s]."""


@dataclass(frozen=True)
class Work:
    """Work of one step, counted operation by operation."""

    tflop: float
    """Multiplications and additions of convolutions and matrix products, forward and backward [10^12]."""
    gb: float
    """Bytes read and written by all operations [10^9]; fused operations move less."""


@dataclass(frozen=True)
class Cost:
    """Cost of one step."""

    ms: float
    """Mean time of consecutive steps."""
    gib: float
    """Peak GPU memory, including the first steps and everything else on it; 0 without a GPU."""
    busy: float | None
    """Fraction of the time that the GPU computes; None without a GPU."""


def limits_of(device: torch.device) -> DeviceLimits:
    """Measure the limits of a device."""
    side, size = _SIDE[device.type], _COPIED[device.type]
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)
    product = _seconds(lambda: a @ a, device, 10)
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _seconds(lambda: target.copy_(source), device, 10)
    return DeviceLimits(tflops=2 * side**3 / product / 1e12, gb_per_s=2 * size / copy / 1e9)


def cost_of(step: Callable[[], object], device: torch.device, *, repeats: int) -> Cost:
    """Time consecutive steps, after a warm-up."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)  # before a step is recorded, because a replay allocates nothing
    for _ in range(_WARM if cuda else 1):
        step()
    if cuda:
        torch.cuda.synchronize(device)
    seconds = _seconds(step, device, repeats)
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if cuda else 0.0
    return Cost(ms=1000 * seconds, gib=peak, busy=_busy(step, seconds) if cuda else None)


def work_of(once: Callable[[], object]) -> Work:
    """Count the operations and bytes of one eager forward and backward pass."""
    flops, moved = FlopCounterMode(display=False), 0

    def add(inputs: object, outputs: object, view: bool) -> None:
        nonlocal moved
        moved += 0 if view else sum(tensor.nbytes for tensor in _tensors([inputs, outputs]))

    with flops, watched_operations(add):
        once()
    return Work(tflop=flops.get_total_flops() / 1e12, gb=moved / 1e9)


def _seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the mean time of consecutive calls on a GPU, where launch and computation overlap, else the median."""
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


def _busy(step: Callable[[], object], seconds: float) -> float:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(_PROFILED):
            step()
        torch.cuda.synchronize()
    computing = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6 / _PROFILED
    return min(computing / seconds, 1.0)


def _tensors(values: Iterable[object]) -> list[Tensor]:
    tensors: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, list | tuple):
            tensors += _tensors(value)
    return tensors
