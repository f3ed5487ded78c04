"""Benchmarks one training step of every network on the same batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from insula.bench.contenders import CONTENDERS, Contender, NetworkBench
from insula.bench.cost import Cost, Work, cost_of, work_of
from insula.config import TrainConfig
from insula.errors import Unavailable
from insula.losses import compound, deep_supervision
from insula.models import build_model
from insula.train import Batch
from insula.train.step import Step

__all__ = ["StepBench", "bench_steps", "make_step"]

_LOSS = compound([(1.0, "dice"), (1.0, "cross_entropy")])
_Network = Callable[[Tensor], Tensor | Sequence[Tensor]]
_DEEPEST = 1  # number of coarsest outputs that nnU-Net does not supervise


@dataclass(frozen=True)
class StepBench(NetworkBench):
    """Cost of a training step of a network."""

    parameters: int = 0
    cost: Cost | None = None
    work: Work | None = None


def bench_steps(names: Sequence[str], compiled: Sequence[str], batch: Batch, *, repeats: int) -> Iterator[StepBench]:
    """Time networks one after another.

    Args:
        names: names of contenders.
        compiled: names of those to time compiled as well.
        batch: the batch for all of them, of cubic patches.
        repeats: number of timed steps.

    Yields:
        One result per network, and another one if it is also compiled.
    """
    for name in names:
        for compile in (False, True) if name in compiled else (False,):
            yield _bench(name, CONTENDERS[name], batch, compile=compile, repeats=repeats)
            torch.compiler.reset()


def _bench(name: str, contender: Contender, batch: Batch, *, compile: bool, repeats: int) -> StepBench:
    torch.manual_seed(0)
    result = StepBench(name, contender.description, compile)
    try:
        step, model, once = make_step(contender, batch, compile=compile)
        cost = cost_of(step, batch.image.device, repeats=repeats)
        work = None if compile else work_of(once)
    except Unavailable as error:
        return replace(result, why_not=str(error))
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return replace(result, why_not="does not fit into the GPU's memory")
    parameters = sum(p.numel() for p in model.parameters())
    return replace(result, parameters=parameters, cost=cost, work=work)


def make_step(
    contender: Contender, batch: Batch, *, compile: bool
) -> tuple[Callable[..., object], nn.Module, Callable[[], None]]:
    """Build a training step as its authors do it.

    Returns:
        The whole step, on `batch` or on another; the network; and one plain forward and backward pass.
    """
    device = batch.image.device
    if contender.config is not None:
        model = build_model(contender.config).to(device)
        model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        config = TrainConfig(
            compile=compile, recompute=contender.recompute, losses=((1.0, "dice"), (1.0, "cross_entropy"))
        )
        steps = Step(model, copy.deepcopy(model), config, device=device)

        def ours(other: Batch = batch) -> Tensor:
            return steps.take(other, lr=1e-4, rate=0.01)

        def lesion(image: Tensor) -> list[Tensor]:
            first, *coarser = model.outputs(image)
            return [first[:, :1], *coarser]

        return ours, model, _once(lesion, batch, torch.bfloat16)
    assert contender.build is not None
    net = contender.build().to(device)
    run: _Network = torch.compile(net) if compile else net
    if contender.trainer == "nnunet":
        return _nnunet_step(net, run, batch), net, _once(net, batch, torch.float16)
    return _adamw_step(net, run, batch), net, _once(net, batch, torch.bfloat16)


def _once(run: _Network, batch: Batch, dtype: torch.dtype) -> Callable[[], None]:
    def once() -> None:
        with _half(batch.image.device, dtype):
            outputs = run(batch.image)
        _loss(outputs, batch.truth).backward()

    return once


def _half(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype=dtype, enabled=device.type == "cuda")


def _loss(outputs: Tensor | Sequence[Tensor], truth: Tensor) -> Tensor:
    """Return Dice plus cross-entropy at every resolution; two channels mean background and lesion."""
    levels = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if len(levels) > 2 and levels[0].shape[1] == 2:
        levels = levels[:-_DEEPEST]
    logits = [level[:, 1:] - level[:, :1] if level.shape[1] == 2 else level for level in levels]
    return deep_supervision(_LOSS, len(logits))(logits, truth)


def _adamw_step(net: nn.Module, run: _Network, batch: Batch) -> Callable[..., None]:
    optimiser = torch.optim.AdamW(net.parameters(), fused=batch.image.is_cuda)

    def step(other: Batch = batch) -> None:
        with _half(other.image.device, torch.bfloat16):
            outputs = run(other.image)
        loss = _loss(outputs, other.truth)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def _nnunet_step(net: nn.Module, run: _Network, batch: Batch) -> Callable[..., None]:
    """Build the step of nnU-Net v2's trainer.

    Source:
        Isensee 2021, nnU-Net, Nature Methods 18:203; nnunetv2's `nnUNetTrainer.train_step`.
    """
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)
    scaler = torch.amp.GradScaler(batch.image.device.type, enabled=batch.image.is_cuda)

    def step(other: Batch = batch) -> None:
        optimiser.zero_grad(set_to_none=True)
        with _half(other.image.device, torch.float16):
            outputs = run(other.image)
            loss = _loss(outputs, other.truth)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(net.parameters(), 12)
        scaler.step(optimiser)
        scaler.update()

    return step
