"""Benchmarks training end to end: data, augmentation and step together, for insula and nnU-Net."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from insula.bench.contenders import CONTENDERS, NetworkBench
from insula.bench.patches import PatchLoader
from insula.bench.steps import make_step
from insula.config import AttentionUNet, AugmentConfig, PrepareConfig, Recipe, TrainConfig
from insula.errors import Unavailable
from insula.store import CaseSet
from insula.train import Batch, CaseStream
from insula.train.phases import pace

__all__ = ["StreamBench", "bench_streams"]

_WARM = 60  # warm-up batches on a GPU: compilation, recording of each batch shape, start of workers


@dataclass(frozen=True)
class StreamBench(NetworkBench):
    """Time of a step including the making of its data."""

    ms: float = 0.0
    """Time of a step including data and augmentation [ms]."""
    alone_ms: float = 0.0
    """Time of a step on a ready batch [ms]."""

    @property
    def waits(self) -> float:
        """Fraction of the time that the step waits for data."""
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
    """Time insula's networks on its stream, and nnU-Net's on its loader; networks without a pipeline are skipped.

    Args:
        names: names of contenders.
        compiled: names of those to compile.
        cases: prepared cases, all of one shape.
        size: patches per step.
        patch: size of a patch along each axis [voxels].
        steps: number of timed steps.
        device: the training device.
    """
    for name in names:
        contender, compile = CONTENDERS[name], name in compiled
        if contender.config is None and contender.trainer != "nnunet":
            continue
        torch.manual_seed(0)
        result = StreamBench(name, contender.description, compile)
        try:
            stream = (
                _ours(cases, size, patch, steps, device) if contender.config else _theirs(cases, size, patch, device)
            )
            first = next(stream)
            step, _, _ = make_step(contender, first, compile=compile)
            warm = _WARM if device.type == "cuda" else 1
            together = pace(step, stream, warm=warm, steps=steps, device=device)
            alone = pace(step, itertools.repeat(first), warm=warm, steps=steps, device=device)
            yield replace(result, ms=together, alone_ms=alone)
            del stream, first, step  # free memory before the next network is built
        except Unavailable as error:
            yield replace(result, why_not=str(error))
        except torch.OutOfMemoryError:
            yield replace(result, why_not="does not fit into the GPU's memory")
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
        truth_on_device = truth.to(device, non_blocking=True)
        yield Batch(image.to(device, non_blocking=True), truth_on_device, torch.full_like(truth_on_device, -1))
