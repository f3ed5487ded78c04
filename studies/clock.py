"""What the timing studies share: a training step, a clock, the name of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from insula.losses import BatchLoss, deep_supervision


def training_step(
    model: nn.Module, outputs: Callable[[Tensor], Any], loss_of: BatchLoss, image: Tensor, truth: Tensor
) -> tuple[Callable[[], None], torch.optim.Optimizer]:
    """A training step on a fixed batch, to be called repeatedly, and its optimiser.

    Args:
        model: the network whose parameters are trained.
        outputs: the forward pass, compiled or not; it returns logits, or a list of them like `model.outputs`.
        loss_of: loss of logits and truth.
        image: (b, 1, i, j, k).
        truth: mask on the same grid.
    """
    cuda = image.device.type == "cuda"
    optimiser = torch.optim.AdamW(model.parameters(), fused=cuda)

    def step() -> None:
        with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=cuda):
            logits = outputs(image)
        first, *coarser = [logits] if isinstance(logits, Tensor) else logits
        levels = [first[:, :1], *coarser]  # the lesion's output
        loss = deep_supervision(loss_of, len(levels))(levels, truth)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step, optimiser


def seconds_of(work: Callable[[], None], device: torch.device, *, warm: int, repeats: int) -> tuple[list[float], int]:
    """Seconds of each repeat after a warm-up, and the peak of the GPU's memory meanwhile [bytes]; 0 on a CPU."""
    cuda = device.type == "cuda"
    for _ in range(warm):
        work()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return times, torch.cuda.max_memory_allocated() if cuda else 0


def machine(device: torch.device) -> dict[str, str]:
    """Device and torch version, which every result records."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "torch": torch.__version__}
