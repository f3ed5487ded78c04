"""Training end to end: data, augmentation and step together, insula's pipeline and nnU-Net's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from insula.bench.contenders import CONTENDERS, Told
from insula.bench.patches import PatchLoader
from insula.bench.steps import make_step
from insula.config import AttentionUNet, AugmentConfig, PrepareConfig, Recipe, TrainConfig
from insula.errors import Unavailable
from insula.store import CaseSet
from insula.train import Batch, CaseStream
from insula.train.phases import pace

__all__ = ["StreamBench", "bench_streams"]

_WARM = 60  # batches on a GPU: compilers settle, each kind of batch is recorded, workers start


@dataclass(frozen=True)
class StreamBench(Told):
    """What a step takes when its data have to be made."""

    ms: float = 0.0
    """A step, data and augmentation included."""
    alone_ms: float = 0.0
    """A step on a batch that is there already."""

    @property
    def waits(self) -> float:
        """Share of the time in which the step waits for data."""
        return max(0.0, 1 - self.alone_ms / self.ms) if self.ms else 0.0


def bench_streams(
    names: Sequence[str],
    compiled: Sequence[str],
    cases: CaseSet,
    *,
    size: int,
    patch: int,
    steps: int,
    device: torch.device,
) -> Iterator[StreamBench]:
    """Time each network on its own pipeline: insula's stream for insula's, nnU-Net's loader for nnU-Net's; no others have one.

    Args:
        names: of contenders.
        compiled: those that are compiled.
        cases: prepared, all of one box.
        size: patches a step.
        patch: voxels along each axis.
        steps: that are timed.
        device: where it trains.
    """
    for name in names:
        contender, compile = CONTENDERS[name], name in compiled
        if contender.config is None and contender.trainer != "nnunet":
            continue
        torch.manual_seed(0)
        told = StreamBench(name, contender.says, compile)
        try:
            stream = (
                _ours(cases, size, patch, steps, device) if contender.config else _theirs(cases, size, patch, device)
            )
            first = next(stream)
            step, _, _ = make_step(contender, first, compile=compile)
            warm = _WARM if device.type == "cuda" else 1
            together = pace(step, stream, warm=warm, steps=steps, device=device)
            alone = pace(step, itertools.repeat(first), warm=warm, steps=steps, device=device)
            yield replace(told, ms=together, alone_ms=alone)
            del stream, first, step  # before the next one is built
        except Unavailable as error:
            yield replace(told, why_not=str(error))
        except torch.OutOfMemoryError:
            yield replace(told, why_not="does not fit into the GPU's memory")
        torch.compiler.reset()


def _ours(cases: CaseSet, size: int, patch: int, steps: int, device: torch.device) -> Iterator[Batch]:
    i, j, k = cases.images[0].shape
    recipe = Recipe(
        name="bench",
        model=AttentionUNet(),
        prepare=PrepareConfig(box=(i, j, k)),
        augment=AugmentConfig(),
        train=TrainConfig(batch=size, crop=(patch, patch, patch), steps=steps + 2 * _WARM),
    )
    return CaseStream(cases, recipe, device=device).batches(0, recipe.train.steps)


def _theirs(cases: CaseSet, size: int, patch: int, device: torch.device) -> Iterator[Batch]:
    for image, truth in PatchLoader(cases, size=size, patch=patch):
        there = truth.to(device, non_blocking=True)
        yield Batch(image.to(device, non_blocking=True), there, torch.full_like(there, -1))
