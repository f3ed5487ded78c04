"""Where the time of a training step goes."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

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

_WARM = 60  # steps on a GPU: compilers settle, cases are measured, each kind of batch is recorded
_LR, _RATE = 1e-9, 1e-3  # nothing is to be learnt


@dataclass(frozen=True)
class Phased:
    """Milliseconds, means over some steps."""

    phases: dict[str, float]
    """Of each phase when one follows the other, in their order."""
    step: float
    """Of a step as training takes it: data are made beside it, and on a GPU it is replayed."""


def measure_phases(recipe: Recipe, data: Sources | CaseSet, *, start: Weights | None = None, steps: int = 20) -> Phased:
    """Train a few steps in this process, phase by phase and then as it is; nothing is written.

    Args:
        recipe: what would be trained.
        data: as `train` takes it.
        start: weights to go on from.
        steps: that are measured, each way.

    Raises:
        UsageError, BadData, Unavailable: as `train`.
    """
    lone = Path()  # a run writes into its folder when it saves, and this one does not
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
    step: Callable[[Batch], Any], batches: Iterable[Batch], *, warm: int, steps: int, device: torch.device
) -> float:
    """Milliseconds a step on these batches, after some to warm up."""
    begun = 0.0
    for n, batch in enumerate(itertools.islice(batches, warm + steps)):
        if n == warm:
            settle(device)
            begun = time.perf_counter()
        step(batch)
    settle(device)
    return 1000 * (time.perf_counter() - begun) / steps


class _Clock:
    """Notes when each phase ends; on a GPU by the GPU's own clock."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._noted: list[tuple[str, float | torch.cuda.Event]] = []

    def mark(self, name: str) -> None:
        """The end of a phase; an empty name is the beginning of the first."""
        if self.device.type != "cuda":
            self._noted.append((name, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._noted.append((name, event))

    def forget(self) -> None:
        """What was noted so far."""
        self._noted.clear()

    def means(self) -> dict[str, float]:
        """Milliseconds of each phase in one step."""
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
