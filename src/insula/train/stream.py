"""An endless, repeatable stream of batches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from insula.augment import Original
from insula.config import Recipe
from insula.train.world import World
from insula.types import Shape

__all__ = ["Batch", "Stream", "crop_window"]

_AHEAD = 3


class Batch(NamedTuple):
    """What one step sees."""

    image: Float[Tensor, "b 1 i j k"]
    """Normalised as at inference."""
    truth: Float[Tensor, "b 1 i j k"]
    """0 or 1."""
    brain: Float[Tensor, "b 1 i j k"]
    """1 brain, 0 not; -1 where that is not known."""


class Stream(ABC):
    """Step n's batch depends on the seed and on n alone: stopping and resuming changes nothing.

    Args:
        recipe: how many items a batch has, and how large they are.
        device: where batches are made.
        world: the processes that share every batch.
    """

    def __init__(self, recipe: Recipe, device: torch.device, world: World) -> None:
        self.recipe, self.device, self.world = recipe, device, world
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None
        world.share(recipe.train.batch)
        if recipe.train.whole_fraction:
            world.share(recipe.train.whole_batch)

    def items(self, step: int) -> tuple[range, Shape]:
        """This process's items of a step's batch, and the voxels of each: crops, and now and then whole boxes, if the recipe says so.

        Steps past the last one, of which batch normalisation is measured, are as inference will be: whole.
        """
        config, box = self.recipe.train, self.recipe.prepare.box
        now, before = (math.floor(n * config.whole_fraction) for n in (step + 1, step))
        if now > before or (config.whole_fraction and step >= config.steps):
            return self.world.share(config.whole_batch), box
        i, j, k = (min(pair) for pair in zip(config.crop, box, strict=True))
        return self.world.share(config.batch), (i, j, k)

    def places(self, case: Original) -> Sequence[Int[np.ndarray, "n 3"]]:
        """Where crops of a case may look."""
        return case.lesions if self.recipe.train.focus == "lesion" else (case.lesion,)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of the data: a run cannot go on with other data."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """What was trained on, for the card of the weights."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """This process's part of the batch of one step."""

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Batches `first` to `last` - 1, made ahead of time on a stream of their own."""
        side = self._side  # always the same: what a generator that was left is still making comes first

        def make(step: int) -> tuple[Batch, torch.cuda.Event | None]:
            if side is None:
                return self.batch(step), None
            with torch.cuda.stream(side):
                batch, ready = self.batch(step), torch.cuda.Event()
                ready.record(side)
            return batch, ready

        with ThreadPoolExecutor(1) as pool:
            waiting: list[Future[tuple[Batch, torch.cuda.Event | None]]] = []
            try:
                for step in range(first, last + _AHEAD):
                    if step < last:
                        waiting.append(pool.submit(make, step))
                    if step >= first + _AHEAD:
                        batch, ready = waiting.pop(0).result()
                        if ready is not None:
                            now = torch.cuda.current_stream(self.device)
                            now.wait_event(ready)  # the device waits, not the processor
                            for tensor in batch:
                                tensor.record_stream(now)
                        yield batch
            finally:
                for future in waiting:
                    future.cancel()


def crop_window(
    lesions: Sequence[Int[np.ndarray, "n 3"]], box: Shape, crop: Shape, rng: np.random.Generator
) -> tuple[slice, slice, slice]:
    """Where a step looks: in two of three around a lesion voxel, otherwise anywhere.

    Args:
        lesions: the voxels it may look for, none for a control; of several lesions one is chosen first, by the root of its size.
        box: voxels of the whole case along each axis.
        crop: and of what a step sees.
        rng: the source of chance.
    """
    room = [n - c for n, c in zip(box, crop, strict=True)]
    start = [int(rng.integers(r + 1)) for r in room]
    sizes = np.sqrt([len(lesion) for lesion in lesions])
    if any(room) and rng.random() < 2 / 3 and sizes.any():
        lesion = lesions[int(rng.choice(len(lesions), p=sizes / sizes.sum())) if len(lesions) > 1 else 0]
        chosen = lesion[int(rng.integers(len(lesion)))].tolist()
        jitter = rng.uniform(0.2, 0.8, 3)
        start = [min(max(int(c - u * n), 0), r) for c, u, n, r in zip(chosen, jitter, crop, room, strict=True)]
    i, j, k = (slice(s, s + n) for s, n in zip(start, crop, strict=True))
    return i, j, k
