"""One scan through one network."""

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
_COPIES = 7  # of the full-resolution features alive at the peak of one pass; measured by studies/speed.py, rounded up


class _Overflow(Exception):
    """A number was too large for float16."""


@dataclass(frozen=True)
class InferFacts:
    """What was decided, and why; goes into the record, so it holds nothing that changes from run to run."""

    device: str
    precision: str
    passes: Literal["whole", "tiled"]
    why: str
    tta: bool
    engine: Engine = "torch"


@dataclass(frozen=True, eq=False)
class Probabilities:
    """What a network says of each voxel of its box; float32 on the CPU."""

    lesion: Float[Tensor, "i j k"]
    """Probability of lesion, calibrated; 0 where the network sees no brain."""
    brain: Float[Tensor, "i j k"] | None = None
    """Probability of brain; None if the network has no such output."""


@torch.inference_mode()
def infer(
    model: UNet, image: Float[Tensor, "1 1 i j k"], config: SegmentConfig, *, scaling: Scaling = Scaling()
) -> tuple[Probabilities, InferFacts]:
    """Probabilities on the image's grid.

    The whole volume goes through at once. When free memory is short it is cut into tiles, with the same result
    (`tiled_logits`); when a GPU runs out all the same, tiles on the GPU, then the CPU. What is too large for float16 is computed in float32, by PyTorch.

    Args:
        model: in evaluation mode.
        image: normalised, of a size the model can halve.
        config: device, precision, passes, mirror averaging.
        scaling: of the lesion logits.

    Returns:
        The probabilities, and what was decided. With mirror averaging both maps are means of the two looks, so lesion probability can be above 0 where the mean
        probability of brain is below 0.5.
    """
    device = choose_device(config.device)
    engine = choose_engine(config.engine, device)
    compute = _with_torch if engine == "torch" else partial(_with_engine, engine)
    try:
        return compute(model, image, config, device, scaling)
    except _Overflow:
        wide = replace(config, precision="float32")
        seen, facts = _with_torch(model, image, wide, device, scaling)
        return seen, replace(facts, why=f"too large a number for float16; {facts.why}")


def infer_mean(
    networks: Sequence[tuple[UNet, Scaling]],
    image: Float[Tensor, "1 1 i j k"],
    config: SegmentConfig,
    *,
    scaling: Scaling = Scaling(),
) -> tuple[Probabilities, InferFacts]:
    """The mean probability of several networks; that of brain over those with such an output. Otherwise as `infer`.

    Args:
        networks: each with the scaling of its own logits.
        image: normalised.
        config: as `infer` takes it.
        scaling: of the logit of the mean lesion probability.
    """
    if len(networks) == 1:
        [(model, own)] = networks
        return infer(model, image, config, scaling=own.then(scaling))
    lesion, brains, facts = torch.zeros(image.shape[2:]), list[Tensor](), list[InferFacts]()
    for model, own in networks:
        seen, its_facts = infer(model, image, config, scaling=own)
        lesion += seen.lesion / len(networks)
        facts.append(its_facts)
        if seen.brain is not None:
            brains.append(seen.brain)
    if scaling != Scaling():
        scaled = torch.sigmoid(scaling(torch.logit(lesion.clamp(0, 1), eps=1e-6)))
        lesion = torch.where(lesion > 0, scaled, 0.0)  # outside every network's brain it stays 0
    brain = torch.stack(brains).mean(dim=0) if brains else None
    differing = next((one for one in facts if one != facts[0]), facts[0])
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
        there = torch.device("cpu")
        instead = choose_precision(there, "auto" if config.precision == "float16" else config.precision)
        attempts.append((there, instead, "whole", "the GPU ran out of memory"))
    for number, (where, half, how, reason) in enumerate(attempts):
        try:
            run = torch_run(model, half, where, tile=config.tile if how == "tiled" else None)
            seen = _answer(run, image.to(where), config, half, scaling)
        except torch.OutOfMemoryError:
            if number == len(attempts) - 1:
                raise
            torch.cuda.empty_cache()
            continue
        return seen, InferFacts(
            device=str(where), precision=precision_name(half), passes=how, why=reason, tta=config.tta
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
        raise UsageError("--engine", engine, "takes whole volumes", "leave --low-memory out, or take the engine torch")
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
        return config.passes, "as told"
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
    """Probabilities from logits, mirrored or not."""

    def once(x: Tensor) -> Tensor:
        logits = run(x).float()
        if precision == torch.float16 and not torch.isfinite(logits).all():
            raise _Overflow
        return probabilities(logits, scaling=scaling)

    prob = once(image)
    if config.tta:
        prob = (prob + once(image.flip(2)).flip(2)) / 2
    lesion, *brain = prob[0].cpu()
    if not all(bool(torch.isfinite(one).all()) for one in (lesion, *brain)):
        raise BadData("the network's answer", "", "has values that are not finite", "give other weights")
    return Probabilities(lesion, *brain)
