"""An endless, reproducible stream of batches."""

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
    """The input of one training step."""

    image: Float[Tensor, "b 1 i j k"]
    """Images, normalised as at inference."""
    truth: Float[Tensor, "b 1 i j k"]
    """Lesion truth, 0 or 1."""
    brain: Float[Tensor, "b 1 i j k"]
    """1 brain, 0 not brain, -1 unknown."""


class Stream(ABC):
    """A stream whose batch for step n depends only on the seed and on n, so that stopping and resuming changes nothing.

    Args:
        recipe: the number of items in a batch, and their size.
        device: the device on which batches are made.
        world: the processes that share every batch.
    """

    def __init__(self, recipe: Recipe, device: torch.device, world: World) -> None:
        self.recipe, self.device, self.world = recipe, device, world
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None
        world.share(recipe.train.batch)
        if recipe.train.whole_fraction:
            world.share(recipe.train.whole_batch)

    def items(self, step: int) -> tuple[range, Shape]:
        """Return this process's items of a step and their shape: a crop, or sometimes the whole box by the recipe.

        Steps after the last one, which measure batch normalisation, use the whole box, as inference does.
        """
        config, box = self.recipe.train, self.recipe.prepare.box
        now, before = (math.floor(n * config.whole_fraction) for n in (step + 1, step))
        if now > before or (config.whole_fraction and step >= config.steps):
            return self.world.share(config.whole_batch), box
        i, j, k = (min(pair) for pair in zip(config.crop, box, strict=True))
        return self.world.share(config.batch), (i, j, k)

    def places(self, case: Original) -> Sequence[Int[np.ndarray, "_ 3"]]:
        """Return the lesions, as voxel lists, that crops of a case may be centred on."""
        return case.lesions if self.recipe.train.focus == "lesion" else (case.lesion,)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Fingerprint of the data; a run cannot resume with other data."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """Description of the training data, for the card of the weights."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Return this process's part of the batch of one step."""

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Yield batches `first` to `last` - 1, made ahead of time on a separate CUDA stream."""
        side = self._side  # always the same stream, so that pending work of an abandoned generator finishes first

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
                            now.wait_event(ready)  # the device waits, not the CPU
                            for tensor in batch:
                                tensor.record_stream(now)
                        yield batch
            finally:
                for future in waiting:
                    future.cancel()


def crop_window(
    lesions: Sequence[Int[np.ndarray, "_ 3"]], box: Shape, crop: Shape, rng: np.random.Generator
) -> tuple[slice, slice, slice]:
    """Draw a crop: with probability 2/3 around a lesion voxel, otherwise anywhere.

    Args:
        lesions: voxels of each lesion, none for a control; a lesion is drawn first, weighted by the square root of its
            size.
        box: shape of the whole case [voxels].
        crop: shape of the crop [voxels].
        rng: random number generator.
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
