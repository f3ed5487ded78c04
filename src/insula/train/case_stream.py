"""Stream of augmented batches from the cases of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from insula.augment import Augmentation, Augmenter, Original
from insula.checkpoint import hashed
from insula.config import Recipe, TrainConfig
from insula.errors import UsageError
from insula.infer import free_bytes
from insula.prepare import measure_each, normalise_each
from insula.simulate import Outline
from insula.store import CaseSet
from insula.train.head_stream import HeadStream
from insula.train.stream import Batch, Stream, crop_window
from insula.train.world import World
from insula.types import Shape

__all__ = ["CaseStream"]

_ANATOMY_BYTES = 2.25  # per voxel: tissues and their surroundings, kept once a graft or a skull strip needs them
_CROP, _PLAN, _PAINT, _ORDER = 1, 2, 3, 4  # purposes of random draws, so that no two share a seed


class CaseStream(Stream):
    """Yields every case once per epoch, in a new order each epoch, augmented on the device.

    Args:
        cases: the cases; kept in the memory of the device, or of the host if they would take too much.
        recipe: settings of augmentation and cropping.
        device: the device on which batches are made.
        world: the processes that share every batch.

    Raises:
        UsageError: the recipe asks for painted heads, but there are no label maps, or its spacing is not 1 mm.
    """

    def __init__(self, cases: CaseSet, recipe: Recipe, *, device: torch.device, world: World = World()) -> None:
        super().__init__(recipe, device, world)
        self.cases = cases.to(device) if _fits(cases, recipe.train, device) else cases.pinned()
        brains = [brain if bool((brain >= 0).all()) else None for brain in self.cases.brains] or [None] * len(cases)
        triples = zip(self.cases.images, self.cases.masks, brains, strict=True)
        self._originals = [Original(image, mask, worked_on=device, brain=brain) for image, mask, brain in triples]
        self._donors = [case for case, mask in zip(self._originals, cases.masks, strict=True) if bool(mask.any())]
        self._outlines = [Outline(name="case", voxels=donor.mask, origin_mm=(0.0, 0.0, 0.0)) for donor in self._donors]
        self._augmenter = Augmenter(device, record=recipe.train.graph)
        self._painter = None
        if recipe.augment.synthetic_fraction > 0:
            if cases.painted_from is None:
                rule = "asks for painted heads, but there is nothing to paint them from"
                share = recipe.augment.synthetic_fraction
                raise UsageError("augment.synthetic_fraction", share, rule, "give a folder of label maps as `data` too")
            painting = replace(recipe.simulate, painted_fraction=1.0, blend_fraction=0.0)
            drawing = painting if recipe.augment.synthetic_painted else recipe.simulate
            self._painter = HeadStream(cases.painted_from, replace(recipe, simulate=drawing), device=device)

    @property
    def fingerprint(self) -> str:
        own = self.cases.fingerprint
        return own if self._painter is None else f"{own}, painted from {self._painter.fingerprint}"

    @property
    def provenance(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "trained_on": "a labelled cohort",
            "cases": len(self.cases),  # not their names, which may identify patients
            "cases_sha256": self.cases.fingerprint,
            **(
                {"subjects": sorted({hashed(subject) for subject in self.cases.subjects})}
                if self.cases.subjects
                else {}
            ),
            **self.cases.provenance,
        }
        return facts if self._painter is None else {**facts, "painted": self._painter.provenance}

    def batch(self, step: int) -> Batch:
        """Return this process's part of the batch of one step."""
        config, seed = self.recipe.augment, self.recipe.train.seed
        items, crop = self.items(step)
        drawn: dict[int, tuple[int, ...]] = {}
        cut: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        changed: dict[int, tuple[Original, Augmentation, Shape]] = {}
        for n in items:
            rng, number = np.random.default_rng((seed, step, n, _PLAN)), step * self.recipe.train.batch + n
            if self._painter is not None and rng.random() < config.synthetic_fraction:
                drawn[n] = (seed, number, 0, _PAINT)
                continue
            case = self._case(number)
            plan = Augmentation.sample(rng, config, box=case.box, outlines=self._outlines)
            focus = self._donors[plan.lesions.grafts[0].outline] if plan.lesions else case
            window = self._window(self.places(focus), case.box, crop, step, n)
            if plan == Augmentation():
                cut[n] = case.cut(window)
            else:
                i, j, k = (part.start for part in window)
                changed[n] = case, plan, (i, j, k)
        if drawn and self._painter is not None:
            painted = self._painter.crops(list(drawn.values()), crop)
            cut |= zip(drawn, zip(*(part[:, 0] for part in painted), strict=True), strict=True)
        if changed:
            cut |= zip(changed, self._augmented(crop, *zip(*changed.values(), strict=True)), strict=True)
        return Batch(*(torch.stack(part)[:, None] for part in zip(*(cut[n] for n in items), strict=True)))

    def _augmented(
        self, crop: Shape, cases: Sequence[Original], plans: Sequence[Augmentation], starts: Sequence[Shape]
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        augmented = self._augmenter(cases, plans, starts=starts, crop=crop, outlines=self._outlines)
        prepare = self.recipe.prepare
        images = normalise_each(augmented.image, measure_each(augmented.sample, prepare), prepare)
        return list(zip(images, augmented.truth, augmented.brain, strict=True))

    def _case(self, number: int) -> Original:
        """Return the case of the `number`-th item since the start."""
        epoch, place = divmod(number, len(self.cases))
        order = np.random.default_rng((self.recipe.train.seed, epoch, 0, _ORDER)).permutation(len(self.cases))
        return self._originals[int(order[place])]

    def _window(
        self, places: Sequence[np.ndarray], box: Shape, crop: Shape, step: int, item: int
    ) -> tuple[slice, slice, slice]:
        return crop_window(places, box, crop, np.random.default_rng((self.recipe.train.seed, step, item, _CROP)))


def _fits(cases: CaseSet, config: TrainConfig, device: torch.device) -> bool:
    """Return whether to keep the cases on the device: as configured, or if they fit into half of its free memory."""
    if config.cohort != "auto" or device.type == "cpu":
        return config.cohort != "host"
    if all(image.device.type == device.type for image in cases.images):
        return True  # already on a GPU: nothing to pin
    anatomy = int(_ANATOMY_BYTES * sum(mask.numel() for mask in cases.masks))
    return 2 * (cases.nbytes + anatomy) <= free_bytes(device)
