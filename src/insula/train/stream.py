"""An endless, repeatable stream of simulated heads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from insula.cohort import Sources
from insula.config import Recipe
from insula.data import measure, normalise
from insula.simulate import LesionShape, SimulatedHead, simulate_head

__all__ = ["Batch", "HeadStream"]

_AHEAD = 3
_SMALL_MM3 = 10_000


class Batch(NamedTuple):
    """What one step sees."""

    image: Float[Tensor, "b 1 i j k"]
    """Normalised as at inference."""
    truth: Float[Tensor, "b 1 i j k"]
    """0 or 1."""


class HeadStream:
    """Step n's batch depends on the seed and on n alone: stopping and resuming changes nothing.

    Args:
        sources: hosts and lesion shapes of one part.
        recipe: what to draw and how to crop.
        device: where heads are simulated.
    """

    def __init__(self, sources: Sources, recipe: Recipe, *, device: torch.device) -> None:
        self.sources, self.recipe, self.device = _on(sources, device), recipe, device
        self._small = [s for s in (*sources.acute, *sources.chronic) if int(s.voxels.sum()) < _SMALL_MM3]

    def head(self, *key: int) -> SimulatedHead:
        """One whole head, drawn from `key`."""
        rng = np.random.default_rng(key)
        config, sources = self.recipe.simulate, self.sources
        host = sources.hosts[int(rng.integers(len(sources.hosts)))]
        phase: Literal["acute", "chronic"] = "chronic" if rng.random() < config.chronic_fraction else "acute"
        shapes = [] if rng.random() < config.control_fraction else self._shapes(rng)
        return simulate_head(host, shapes, config, rng, phase=phase)

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        images, truths = [], []
        for item in range(self.recipe.train.batch):
            key = (self.recipe.train.seed, step, item)
            head = self.head(*key)
            image = normalise(head.image, measure(head.image, self.recipe.prepare), self.recipe.prepare)
            window = self._window(head.truth, np.random.default_rng((*key, 1)))
            images.append(image[window])
            truths.append(head.truth[window])
        return Batch(torch.stack(images)[:, None], torch.stack(truths)[:, None])

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Batches `first` to `last` - 1, simulated ahead of time on a stream of their own."""
        cuda = self.device.type == "cuda"
        side = torch.cuda.Stream(self.device) if cuda else None

        def make(step: int) -> Batch:
            if side is None:
                return self.batch(step)
            with torch.cuda.stream(side):
                batch = self.batch(step)
                side.synchronize()
            return batch

        with ThreadPoolExecutor(1) as pool:
            waiting: list[Future[Batch]] = []
            try:
                for step in range(first, last + _AHEAD):
                    if step < last:
                        waiting.append(pool.submit(make, step))
                    if step >= first + _AHEAD:
                        batch = waiting.pop(0).result()
                        if cuda:
                            for tensor in batch:
                                tensor.record_stream(torch.cuda.current_stream(self.device))
                        yield batch
            finally:
                for future in waiting:
                    future.cancel()

    def _shapes(self, rng: np.random.Generator) -> list[LesionShape]:
        config = self.recipe.simulate
        if config.small_fraction and rng.random() < config.small_fraction and self._small:
            return [self._small[int(rng.integers(len(self._small)))] for _ in range(config.most_lesions)]
        shapes = [self._shape(rng)]
        while len(shapes) < config.most_lesions and rng.random() < config.further_lesion_fraction:
            shapes.append(self._shape(rng))
        return shapes

    def _shape(self, rng: np.random.Generator) -> LesionShape:
        pool = self.sources.acute if rng.random() < 0.75 else self.sources.chronic
        return pool[int(rng.integers(len(pool)))]

    def _window(self, truth: Tensor, rng: np.random.Generator) -> tuple[slice, ...]:
        """A crop: in two of three around a lesion voxel, otherwise anywhere."""
        crop, box = self.recipe.train.crop, truth.shape
        room = [n - c for n, c in zip(box, crop, strict=True)]
        if not any(room):
            return tuple(slice(n) for n in box)
        start = [int(rng.integers(r + 1)) for r in room]
        if rng.random() < 2 / 3 and bool(truth.any()):
            where = truth.nonzero()
            chosen = where[int(rng.integers(len(where)))].tolist()
            jitter = rng.uniform(0.2, 0.8, 3)
            start = [min(max(int(c - u * n), 0), r) for c, u, n, r in zip(chosen, jitter, crop, room, strict=True)]
        return tuple(slice(s, s + n) for s, n in zip(start, crop, strict=True))


def _on(sources: Sources, device: torch.device) -> Sources:
    from dataclasses import replace

    hosts = tuple(
        replace(h, tissue=h.tissue.to(device), image=None if h.image is None else h.image.to(device))
        for h in sources.hosts
    )
    return replace(sources, hosts=hosts)
