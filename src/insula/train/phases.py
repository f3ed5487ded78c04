"""Measures how long each phase of a training step takes."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from insula.checkpoint import Weights
from insula.config import Recipe
from insula.infer import settle
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train.loop import too_large
from insula.train.run import Run
from insula.train.stream import Batch
from insula.train.world import World

__all__ = ["Phased", "measure_phases", "pace"]

_WARM = 60  # warm-up steps on a GPU: compilation, measuring of cases, recording of each batch shape
_LR, _RATE = 1e-9, 1e-3  # tiny: the network should not change


@dataclass(frozen=True)
class Phased:
    """Mean times over several steps [ms]."""

    phases: dict[str, float]
    """Time of each phase when run one after another, in order."""
    step: float
    """Time of a step as in training: data are made in parallel, and on a GPU the step is replayed."""


def measure_phases(recipe: Recipe, data: Sources | CaseSet, *, start: Weights | None = None, steps: int = 20) -> Phased:
    """Train a few steps in this process, first phase by phase, then as usual; writes nothing.

    Args:
        recipe: the recipe to measure.
        data: training data, as for `train`.
        start: weights to start from.
        steps: number of measured steps, each way.

    Raises:
        UsageError, BadData, Unavailable: as for `train`.
    """
    lone = Path()  # a run writes to its folder only when it saves, which this one never does
    world = World()
    warm = _WARM if world.device(recipe.train.device).type == "cuda" else 1
    short = replace(recipe, train=replace(recipe.train, steps=warm + steps))
    run = Run(short, data, lone, start=start, world=world)
    try:
        phases = _one_by_one(run, warm)
        del run
        run = Run(short, data, lone, start=start, world=world)
        take = partial(run.steps.take, lr=_LR, rate=_RATE)
        batches = run.stream.batches(0, warm + steps)
        return Phased(phases=phases, step=pace(take, batches, warm=warm, steps=steps, device=run.device))
    except torch.OutOfMemoryError:
        raise too_large(run) from None


def _one_by_one(run: Run, warm: int) -> dict[str, float]:
    clock = _Clock(run.device)
    run.steps.observe(clock.mark)
    for n in range(run.recipe.train.steps):
        if n == warm:
            clock.forget()
        clock.mark("")
        batch = run.stream.batch(n)
        clock.mark("data and augmentation")
        run.steps.take(batch, lr=_LR, rate=_RATE)
    return clock.means()


def pace(
    step: Callable[[Batch], object], batches: Iterable[Batch], *, warm: int, steps: int, device: torch.device
) -> float:
    """Return the mean time of a step on these batches [ms], after `warm` steps of warm-up."""
    begun = 0.0
    for n, batch in enumerate(itertools.islice(batches, warm + steps)):
        if n == warm:
            settle(device)
            begun = time.perf_counter()
        step(batch)
    settle(device)
    return 1000 * (time.perf_counter() - begun) / steps


class _Clock:
    """Records the end of each phase; on a GPU by CUDA events."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._noted: list[tuple[str, float | torch.cuda.Event]] = []

    def mark(self, name: str) -> None:
        """Record the end of a phase; an empty name marks the start of the first."""
        if self.device.type != "cuda":
            self._noted.append((name, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._noted.append((name, event))

    def forget(self) -> None:
        """Discard all records so far."""
        self._noted.clear()

    def means(self) -> dict[str, float]:
        """Return the mean time of each phase per step [ms]."""
        settle(self.device)
        total: dict[str, float] = defaultdict(float)
        for (_, before), (name, after) in itertools.pairwise(self._noted):
            if name:
                total[name] += _between(before, after)
        steps = sum(not name for name, _ in self._noted)
        return {name: ms / steps for name, ms in total.items()}


def _between(before: float | torch.cuda.Event, after: float | torch.cuda.Event) -> float:
    if isinstance(before, float) and isinstance(after, float):
        return 1000 * (after - before)
    return float(before.elapsed_time(after))  # type: ignore[union-attr, arg-type]
