"""Inference: a prepared scan through one network, or through several whose probabilities are averaged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from insula.config import Scaling, SegmentConfig
from insula.errors import BadData, UsageError
from insula.infer.device import choose_device, choose_precision, free_bytes, precision_name
from insula.infer.engines import Engine, Run, choose_engine, engine_precision, engine_run, torch_run
from insula.infer.tiles import why_whole
from insula.models import UNet, probabilities

__all__ = ["InferFacts", "Probabilities", "infer", "infer_mean"]

_log = logging.getLogger(__name__)
_COPIES = 7  # of full-resolution features at the peak of one pass; measured by studies/speed.py, rounded up


class _Overflow(Exception):
    """A value overflowed float16."""


@dataclass(frozen=True)
class InferFacts:
    """The choices made for an inference; part of the record, so nothing in it changes from run to run."""

    device: str
    precision: str
    passes: Literal["whole", "tiled"]
    why: str
    tta: bool
    engine: Engine = "torch"


@dataclass(frozen=True, eq=False)
class Probabilities:
    """A network's probabilities for each voxel of its box; float32 on the CPU."""

    lesion: Float[Tensor, "i j k"]
    """Probability of lesion, calibrated; 0 where the network sees no brain."""
    brain: Float[Tensor, "i j k"] | None = None
    """Probability of brain; None if the network has no such output."""


@torch.inference_mode()
def infer(
    model: UNet, image: Float[Tensor, "1 1 i j k"], config: SegmentConfig, *, scaling: Scaling = Scaling()
) -> tuple[Probabilities, InferFacts]:
    """Compute probabilities on the image's grid.

    The whole volume is computed at once. If free memory is short it is cut into tiles, with the same result
    (`tiled_logits`). If a GPU still runs out of memory, tiles on the GPU are tried, then the CPU. A volume that
    overflows float16 is computed in float32 by PyTorch.

    Args:
        model: in evaluation mode.
        image: normalised, of a size the model can halve.
        config: device, precision, passes, mirror averaging.
        scaling: of the lesion logits.

    Returns:
        The probabilities, and the choices made. With mirror averaging both maps are means of two predictions, so
        lesion probability can be above 0 where the mean brain probability is below 0.5.
    """
    device = choose_device(config.device)
    engine = choose_engine(config.engine, device)
    compute = _with_torch if engine == "torch" else partial(_with_engine, engine)
    try:
        return compute(model, image, config, device, scaling)
    except _Overflow:
        wide = replace(config, precision="float32")
        result, facts = _with_torch(model, image, wide, device, scaling)
        return result, replace(facts, why=f"too large a number for float16; {facts.why}")


def infer_mean(
    networks: Sequence[tuple[UNet, Scaling]],
    image: Float[Tensor, "1 1 i j k"],
    config: SegmentConfig,
    *,
    scaling: Scaling = Scaling(),
) -> tuple[Probabilities, InferFacts]:
    """Compute the mean probabilities of several networks; brain probability is averaged over networks that predict it.

    Otherwise like `infer`.

    Args:
        networks: each with the scaling of its own logits.
        image: normalised.
        config: as for `infer`.
        scaling: of the logit of the mean lesion probability.
    """
    if len(networks) == 1:
        [(model, own)] = networks
        return infer(model, image, config, scaling=own.then(scaling))
    lesion, brains, facts = torch.zeros(image.shape[2:]), list[Tensor](), list[InferFacts]()
    for model, own in networks:
        result, choices = infer(model, image, config, scaling=own)
        lesion += result.lesion / len(networks)
        facts.append(choices)
        if result.brain is not None:
            brains.append(result.brain)
    if scaling != Scaling():
        scaled = torch.sigmoid(scaling(torch.logit(lesion.clamp(0, 1), eps=1e-6)))
        lesion = torch.where(lesion > 0, scaled, 0.0)  # outside every network's brain it stays 0
    brain = torch.stack(brains).mean(dim=0) if brains else None
    differing = next((choices for choices in facts if choices != facts[0]), facts[0])
    return Probabilities(lesion, brain), differing


def _with_torch(
    model: UNet, image: Float[Tensor, "1 1 i j k"], config: SegmentConfig, device: torch.device, scaling: Scaling
) -> tuple[Probabilities, InferFacts]:
    precision = choose_precision(device, config.precision)
    passes, why = _choose_passes(model, image, config, device, precision)
    attempts: list[tuple[torch.device, torch.dtype, Literal["whole", "tiled"], str]] = [
        (device, precision, passes, why)
    ]
    if device.type == "cuda":
        if why_whole(model) is None:
            attempts.append((device, precision, "tiled", "the GPU ran out of memory"))
        cpu = torch.device("cpu")
        cpu_precision = choose_precision(cpu, "auto" if config.precision == "float16" else config.precision)
        attempts.append((cpu, cpu_precision, "whole", "the GPU ran out of memory"))
    for number, (target, dtype, mode, reason) in enumerate(attempts):
        try:
            run = torch_run(model, dtype, target, tile=config.tile if mode == "tiled" else None)
            result = _answer(run, image.to(target), config, dtype, scaling)
        except torch.OutOfMemoryError:
            if number == len(attempts) - 1:
                raise
            torch.cuda.empty_cache()
            continue
        return result, InferFacts(
            device=str(target), precision=precision_name(dtype), passes=mode, why=reason, tta=config.tta
        )
    raise AssertionError("unreachable")


def _with_engine(
    engine: Engine,
    model: UNet,
    image: Float[Tensor, "1 1 i j k"],
    config: SegmentConfig,
    device: torch.device,
    scaling: Scaling,
) -> tuple[Probabilities, InferFacts]:
    if config.passes == "tiled":
        raise UsageError("`engine`", engine, "takes whole volumes", "leave `low_memory` out, or take the engine torch")
    precision = engine_precision(engine, choose_precision(device, config.precision), model)
    i, j, k = image.shape[2:]
    run = engine_run(model, engine, (i, j, k), precision, device)
    return _answer(run, image.to(device), config, precision, scaling), InferFacts(
        device=str(device),
        precision=precision_name(precision),
        passes="whole",
        why="the engine takes whole volumes",
        tta=config.tta,
        engine=engine,
    )


def _choose_passes(
    model: UNet, image: Tensor, config: SegmentConfig, device: torch.device, precision: torch.dtype
) -> tuple[Literal["whole", "tiled"], str]:
    if config.passes != "auto":
        return config.passes, "as requested"
    width = next(m.out_channels for m in model.modules() if isinstance(m, nn.Conv3d))
    need = _COPIES * image.numel() * width * precision.itemsize
    free = free_bytes(device)
    _log.info("one pass needs about %.1f GiB, %.1f GiB are free", need / 2**30, free / 2**30)
    if need < free:
        return "whole", "it fits into memory"
    reason = why_whole(model)
    if reason is None:
        return "tiled", "memory is short"
    return "whole", f"memory is short, but this is a model {reason}"


def _answer(run: Run, image: Tensor, config: SegmentConfig, precision: torch.dtype, scaling: Scaling) -> Probabilities:
    """Compute probabilities from logits, averaged with those of the mirrored image if requested.

    The mean of two probabilities exceeds a low threshold where one of them alone is high; the mean of two logits does
    not, so that a threshold chosen for one look serves for both.
    """

    def predict(volume: Tensor) -> Tensor:
        logits = run(volume).float()
        if precision == torch.float16 and not torch.isfinite(logits).all():
            raise _Overflow
        return logits

    logits = predict(image)
    if config.tta:
        logits = (logits + predict(image.flip(2)).flip(2)) / 2
    prob = probabilities(logits, scaling=scaling)
    if not bool(torch.isfinite(prob).all()):
        raise BadData("the network's answer", "", "has values that are not finite", "use other weights")
    return Probabilities(*prob[0].cpu())
