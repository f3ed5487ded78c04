"""Where the time of a training step goes."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from insula.checkpoint import Weights
from insula.cohort import CaseSet, Sources
from insula.config import Recipe
from insula.train.loop import too_large
from insula.train.run import Run
from insula.train.world import World

__all__ = ["Phased", "measure_phases"]

_WARM = 60  # steps on a GPU: compilers settle, cases are measured, each kind of batch is recorded


@dataclass(frozen=True)
class Phased:
    """Milliseconds, means over some steps."""

    phases: dict[str, float]
    """Of each phase when one follows the other, in their order."""
    step: float
    """Of a step as training takes it: data are made beside it, and on a GPU it is replayed."""


def measure_phases(
    recipe: Recipe, data: Sources | CaseSet, *, start: Weights | None = None, steps: int = 20
) -> Phased:  # fmt: skip
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
        return Phased(phases=phases, step=_as_it_is(run, warm))
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
        run.steps.take(batch, lr=1e-9, rate=1e-3)
    return clock.means()


def _as_it_is(run: Run, warm: int) -> float:
    begun, steps = 0.0, run.recipe.train.steps
    for n, batch in enumerate(run.stream.batches(0, steps)):
        if n == warm:
            _settle(run.device)
            begun = time.perf_counter()
        run.steps.take(batch, lr=1e-9, rate=1e-3)
    _settle(run.device)
    return 1000 * (time.perf_counter() - begun) / (steps - warm)


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
        _settle(self.device)
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


def _settle(device: torch.device) -> None:
    """Wait for this thread's work alone: another may be recording, and the whole device cannot be waited for then."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
