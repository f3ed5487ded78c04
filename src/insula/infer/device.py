"""Choice of device and precision, and the memory that is free."""

from __future__ import annotations

from pathlib import Path

import torch

from insula.config import Precision
from insula.errors import Unavailable, UsageError

__all__ = ["choose_device", "choose_precision", "free_bytes", "precision_name", "settle"]

_CGROUP = Path("/sys/fs/cgroup")


def choose_device(name: str) -> torch.device:
    """Returns the device of a name; `auto` takes a GPU if there is one.

    Raises:
        UsageError: the name is not a device's.
        Unavailable: a GPU was requested and is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdigit())):
        raise UsageError("`device`", name, "is not a device", "use auto, cpu, cuda or cuda:0")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise Unavailable(
            "`device`", name, f"is not there ({torch.cuda.device_count()} GPUs found)", "use `device=cpu`"
        )
    return torch.device(name)


def choose_precision(device: torch.device, requested: Precision) -> torch.dtype:
    """Returns the requested precision; `auto` is float16 on GPUs, and bfloat16 or float32 on processors.

    Processors compute in bfloat16 if they support it (AVX512-BF16, AMX). float16 rounds eight times finer than bfloat16
    but ends at 65,504; callers check for overflow (`insula.infer.run`).

    Raises:
        UsageError: float16 on a processor.
    """
    if requested == "float16" and device.type != "cuda":
        raise UsageError("the precision", requested, f"is for GPUs, not for {device}", "use auto, bfloat16 or float32")
    if requested != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[requested]
    if device.type == "cuda":
        return torch.float16
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def precision_name(precision: torch.dtype) -> str:
    """Returns the name of a precision in records and metadata."""
    return str(precision).removeprefix("torch.")


def free_bytes(device: torch.device) -> int:
    """Returns the memory that can still be allocated [bytes], on the GPU or within machine and container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, int(limit) - used) if limit.isdigit() else free


def settle(device: torch.device) -> None:
    """Wait for this thread's work on a GPU, and for nothing else.

    Another thread may be recording a graph, during which waiting for the whole device is forbidden.
    """
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
