"""Stream of batches of heads that are simulated on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import torch

from insula.augment import (
    Augmentation,
    Augmenter,
    Given,
    Original,
    OutlineSet,
    SimulatedHead,
    draw_head,
    look_at,
    simulate_head,
)
from insula.config import Recipe, to_dict
from insula.errors import UsageError
from insula.prepare import measure_each, normalise_each, normalised
from insula.simulate import FORM
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train.stream import Batch, Stream, crop_window
from insula.train.world import World
from insula.types import Shape

__all__ = ["HeadStream"]

_ECHO = 15  # steps between a batch and its echo; odd, so that every second step is an echo


class HeadStream(Stream):
    """Yields simulated patients: host, anatomy, lesions, confounders and scanner are drawn anew for every item.

    Only the crop of a head is computed, on the training device, by the code that also augments the cases of a cohort.

    Args:
        sources: hosts and outlines of one part.
        recipe: settings of simulation and cropping.
        device: the device on which heads are simulated.
        world: the processes that share every batch.

    Raises:
        UsageError: the recipe asks for heads that the sources cannot give.
    """

    def __init__(self, sources: Sources, recipe: Recipe, *, device: torch.device, world: World = World()) -> None:
        if (spacing := recipe.prepare.spacing_mm) != 1:
            rule, remedy = "is not 1 mm, the spacing of simulated heads", "use 1 mm, or real cases alone"
            raise UsageError("prepare.spacing_mm", spacing, rule, remedy)
        super().__init__(recipe, device, world)
        self.sources = sources
        hosts = [host.to(device) for host in sources.hosts]
        self._scanned = [host for host in hosts if host.image is not None]
        self._painted = [host for host in hosts if host.image is None]
        share = recipe.simulate.painted_fraction
        if share < 1 and not self._scanned:
            rule = "asks for real heads, but no host in the folder has an image"
            raise UsageError("simulate.painted_fraction", share, rule, "add hosts with a T1w image, or paint all")
        self.outlines = OutlineSet(sources.acute, sources.chronic).to(device)
        self._augmenter = Augmenter(
            device,
            record=recipe.train.graph,
            heads=True,
            grafts=max(recipe.simulate.most_lesions, 1),
            compile=recipe.simulate.compile,
        )
        self._kept: dict[int, Batch] = {}

    @property
    def fingerprint(self) -> str:
        return f"{self.sources.fingerprint} simulator {FORM}"

    @property
    def provenance(self) -> dict[str, object]:
        return {
            "trained_on": "simulated infarcts; not validated on patients",
            "sources_sha256": self.sources.fingerprint,
            "hosts": sorted(host.name for host in self.sources.hosts),
            "lesion_shapes": {"acute": len(self.sources.acute), "chronic": len(self.sources.chronic)},
        }

    def draw(self, rng: np.random.Generator) -> tuple[Original, Augmentation]:
        """Draw a host, and everything that turns it into a patient."""
        host, fixed = self._host(rng)
        return host, draw_head(rng, host, self.outlines, self.recipe.simulate, fixed)

    def head(self, *key: int, unfamiliar: bool = False) -> SimulatedHead:
        """Simulate one whole head from `key`; `unfamiliar` gives lesions an appearance never drawn in training."""
        rng = np.random.default_rng(key)
        host, fixed = self._host(rng)
        return simulate_head(host, self.outlines, self.recipe.simulate, rng, fixed, unfamiliar=unfamiliar)

    def batch(self, step: int) -> Batch:
        """Return this process's part of the batch of one step: newly drawn, or the mirrored echo of an earlier one."""
        source = self._source(step)
        batch = self._kept.pop(source, None) if source < step else None
        if batch is None:
            items, crop = self.items(source)
            batch = self.crops([(self.recipe.train.seed, source, item) for item in items], crop)
        if source < step:
            return Batch(*(part.flip(2) for part in batch))
        if self._source(step + _ECHO) == step:
            waiting = {n: kept for n, kept in self._kept.items() if step - _ECHO < n < step}
            self._kept = {**waiting, step: batch}
        return batch

    def _source(self, step: int) -> int:
        """Return the step whose batch this one trains on; an earlier one if this one is its echo."""
        earlier = step - _ECHO
        if not self.recipe.simulate.echo or step % 2 == 0 or earlier < 0 or step >= self.recipe.train.steps:
            return step
        return earlier if self.items(earlier) == self.items(step) else step

    def crops(self, keys: Sequence[tuple[int, ...]], crop: Shape) -> Batch:
        """Simulate a crop of one head for each key, which seeds it."""
        hosts, plans, starts = list[Original](), list[Augmentation](), list[Shape]()
        for key in keys:
            rng = np.random.default_rng(key)
            host, plan = self.draw(rng)
            window = crop_window(self._lesions(plan, host.box), host.box, crop, rng)
            i, j, k = (part.start for part in window)
            hosts.append(host)
            plans.append(plan)
            starts.append((i, j, k))
        augmented = self._augmenter(hosts, plans, starts=starts, crop=crop, outlines=self.outlines.all)
        prepare = self.recipe.prepare
        image = normalise_each(augmented.image, measure_each(augmented.sample, prepare), prepare)
        return Batch(image[:, None], augmented.truth[:, None], augmented.brain[:, None])

    def cases(self, count: int, *, seed: int, unfamiliar: bool = False) -> CaseSet:
        """Simulate heads once, as cases to train on; each is named by its number and host."""
        names, hosts, images, masks, brains = [], [], [], [], []
        for n in range(count):  # one at a time: a head is large, a case small
            head = self.head(seed, n, unfamiliar=unfamiliar)
            names.append(f"{n:04d} {head.host}")
            hosts.append(head.host)
            images.append(normalised(head.image, self.recipe.prepare).half())
            masks.append(head.truth > 0.5)
            brains.append(head.brain.to(torch.int8))
        simulate = {k: value for k, value in to_dict(self.recipe.simulate).items() if k not in ("compile", "echo")}
        drawn = f"{self.fingerprint} {seed} {count} {unfamiliar} {simulate} {to_dict(self.recipe.prepare)}"
        return CaseSet(
            names=tuple(names),
            images=tuple(images),
            masks=tuple(masks),
            brains=tuple(brains),
            fingerprint=sha256(drawn.encode()).hexdigest(),
            provenance={**self.provenance, "heads": count},
            centres=tuple(hosts),
        )

    def _host(self, rng: np.random.Generator) -> tuple[Original, Given]:
        """Draw a label map to paint, or a real head; without label maps, real heads are painted from their tissues."""
        painted = bool(rng.random() < self.recipe.simulate.painted_fraction)
        pool = (self._painted or self._scanned) if painted else self._scanned
        return pool[int(rng.integers(len(pool)))], Given(painted=painted)

    def _lesions(self, plan: Augmentation, box: Shape) -> list[np.ndarray]:
        """Return the lesion voxels inside the box; the centre of a crop is the same voxel of the head."""
        lesions = []
        for points in look_at(plan, self.outlines):
            points = points[((points >= 0) & (points < box)).all(1)]
            lesions.append(points)
        return lesions
