"""Training on heads that are made up on the way."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import torch

from insula.augment import Original
from insula.cohort import CaseSet, Sources
from insula.config import Recipe, to_dict
from insula.data import normalised
from insula.simulate import LesionShape, SimulatedHead, simulate_head
from insula.train.stream import Batch, Stream, crop_window
from insula.train.world import World

__all__ = ["HeadStream"]

_SMALL_MM3 = 10_000


class HeadStream(Stream):
    """Simulated heads, no two alike.

    Args:
        sources: hosts and lesion shapes of one part.
        recipe: what to draw and how to crop.
        device: where heads are simulated.
        world: the processes that share every batch.
    """

    def __init__(self, sources: Sources, recipe: Recipe, *, device: torch.device, world: World = World()) -> None:
        super().__init__(recipe, device, world)
        self.sources = _on(sources, device)
        self._small = [s for s in (*sources.acute, *sources.chronic) if int(s.voxels.sum()) < _SMALL_MM3]

    @property
    def fingerprint(self) -> str:
        return self.sources.fingerprint

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            "trained_on": "simulated infarcts; not validated on patients",
            "sources_sha256": self.sources.fingerprint,
            "hosts": sorted(host.name for host in self.sources.hosts),
            "lesion_shapes": {"acute": len(self.sources.acute), "chronic": len(self.sources.chronic)},
        }

    def head(self, *key: int) -> SimulatedHead:
        """One whole head, drawn from `key`."""
        rng = np.random.default_rng(key)
        config, sources = self.recipe.simulate, self.sources
        host = sources.hosts[int(rng.integers(len(sources.hosts)))]
        phase: Literal["acute", "chronic"] = "chronic" if rng.random() < config.chronic_fraction else "acute"
        shapes = [] if rng.random() < config.control_fraction else self._shapes(rng)
        return simulate_head(host, shapes, config, rng, phase=phase)

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of one step."""
        images, truths = [], []
        box, (items, crop) = self.recipe.prepare.box, self.items(step)
        for item in items:
            key = (self.recipe.train.seed, step, item)
            head = self.head(*key)
            image = normalised(head.image, self.recipe.prepare)
            places = () if crop == box else self.places(Original(image, head.truth > 0.5))
            window = crop_window(places, box, crop, np.random.default_rng((*key, 1)))
            images.append(image[window])
            truths.append(head.truth[window])
        return Batch(torch.stack(images)[:, None], torch.stack(truths)[:, None])

    def cases(self, count: int, *, seed: int) -> CaseSet:
        """Heads made once, ready to be trained on as a cohort's; named by their number and by whose head each was."""
        names, images, masks = [], [], []
        for n in range(count):  # a head is large: what is kept of it is small
            head = self.head(seed, n)
            names.append(f"{n:04d} {head.host}")
            images.append(normalised(head.image, self.recipe.prepare).half())
            masks.append(head.truth > 0.5)
        told = f"{self.fingerprint} {seed} {count} {to_dict(self.recipe.simulate)} {to_dict(self.recipe.prepare)}"
        return CaseSet(
            names=tuple(names),
            images=tuple(images),
            masks=tuple(masks),
            fingerprint=sha256(told.encode()).hexdigest(),
            provenance={**self.provenance, "heads": count},
        )

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


def _on(sources: Sources, device: torch.device) -> Sources:
    hosts = tuple(
        replace(h, tissue=h.tissue.to(device), image=None if h.image is None else h.image.to(device))
        for h in sources.hosts
    )
    return replace(sources, hosts=hosts)
