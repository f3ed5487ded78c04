"""Training end to end: data, augmentation and step together, insula's pipeline and nnU-Net's."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from insula.bench.contenders import CONTENDERS
from insula.bench.patches import PatchLoader
from insula.bench.steps import make_step
from insula.cohort import CaseSet
from insula.config import AttentionUNet, AugmentConfig, PrepareConfig, Recipe, TrainConfig
from insula.errors import Unavailable
from insula.train import Batch, CaseStream

__all__ = ["StreamBench", "bench_streams"]

_WARM = 60  # batches on a GPU: compilers settle, each kind of batch is recorded, workers start


@dataclass(frozen=True)
class StreamBench:
    """What a step takes when its data have to be made, or why it was not timed."""

    name: str
    says: str
    compiled: bool
    ms: float = 0.0
    """A step, data and augmentation included."""
    alone_ms: float = 0.0
    """A step on a batch that is there already."""
    why_not: str | None = None

    @property
    def waits(self) -> float:
        """Share of the time in which the step waits for data."""
        return max(0.0, 1 - self.alone_ms / self.ms) if self.ms else 0.0


def bench_streams(
    names: Sequence[str], compiled: Sequence[str], cases: CaseSet, *, size: int, patch: int, steps: int, device: torch.device
) -> Iterator[StreamBench]:  # fmt: skip
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
            together = _pace(step, stream, steps, device)
            alone = _pace(step, itertools.repeat(first), steps, device)
            yield replace(told, ms=together, alone_ms=alone)
            del stream, first, step  # before the next one is built
        except Unavailable as error:
            yield replace(told, why_not=str(error))
        except torch.OutOfMemoryError:
            yield replace(told, why_not="does not fit into the GPU's memory")
        torch.compiler.reset()


def _pace(step: Callable[[Batch], Any], batches: Iterator[Batch], steps: int, device: torch.device) -> float:
    """Milliseconds a step, after some to warm up."""
    begun = 0.0
    warm = _WARM if device.type == "cuda" else 1
    for n, batch in enumerate(itertools.islice(batches, warm + steps)):
        if n == warm:
            _settle(device)
            begun = time.perf_counter()
        step(batch)
    _settle(device)
    return 1000 * (time.perf_counter() - begun) / steps


def _settle(device: torch.device) -> None:
    """Wait for this thread's work alone: another may be recording, and the whole device cannot be waited for then."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def _ours(cases: CaseSet, size: int, patch: int, steps: int, device: torch.device) -> Iterator[Batch]:
    i, j, k = cases.images[0].shape
    recipe = Recipe(
        name="bench", model=AttentionUNet(), prepare=PrepareConfig(box=(i, j, k)), augment=AugmentConfig(),
        train=TrainConfig(batch=size, crop=(patch, patch, patch), steps=steps + 2 * _WARM),
    )  # fmt: skip
    return CaseStream(cases, recipe, device=device).batches(0, recipe.train.steps)


def _theirs(cases: CaseSet, size: int, patch: int, device: torch.device) -> Iterator[Batch]:
    with PatchLoader(cases, size=size, patch=patch) as loader:
        for image, truth in loader:
            yield Batch(image.to(device, non_blocking=True), truth.to(device, non_blocking=True))
