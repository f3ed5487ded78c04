"""Training on a cohort, each case never twice the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from insula.augment import Augmentation, augment
from insula.cohort import CaseSet
from insula.config import Recipe
from insula.data import normalised
from insula.errors import UsageError
from insula.train.head_stream import HeadStream
from insula.train.stream import Batch, Stream, crop_window

__all__ = ["CaseStream"]

_CROP, _PLAN, _PAINT, _ORDER = 1, 2, 3, 4  # what chance is drawn for, so that no two draws share a seed


class CaseStream(Stream):
    """Every case once an epoch, in an order of the epoch's own, augmented on the device.

    Args:
        cases: held in the device's memory.
        recipe: how to augment and to crop.
        device: where batches are made.

    Raises:
        UsageError: the recipe asks for painted heads, and there is nothing to paint them from.
    """

    def __init__(self, cases: CaseSet, recipe: Recipe, *, device: torch.device) -> None:
        super().__init__(device)
        self.cases, self.recipe = cases.to(device), recipe
        self._donors = [n for n, mask in enumerate(cases.masks) if bool(mask.any())]
        self._painter = None
        if recipe.augment.synthetic_fraction > 0:
            if cases.painted_from is None:
                rule = "asks for painted heads, and there is nothing to paint them from"
                share = recipe.augment.synthetic_fraction
                raise UsageError("augment.synthetic_fraction", share, rule, "name label maps with --paint-from")
            painting = replace(recipe, simulate=replace(recipe.simulate, painted_fraction=1.0))
            self._painter = HeadStream(cases.painted_from, painting, device=device)

    @property
    def fingerprint(self) -> str:
        return self.cases.fingerprint

    @property
    def provenance(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "trained_on": "a labelled cohort",
            "cases": len(self.cases),  # not their names: they may say whose they are
            "cases_sha256": self.cases.fingerprint,
        }
        return told if self._painter is None else {**told, "painted": self._painter.provenance}

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        seed, size = self.recipe.train.seed, self.recipe.train.batch
        items = [self._item(step * size + n, np.random.default_rng((seed, step, n, _PLAN))) for n in range(size)]
        pictures, masks, plans = (list(parts) for parts in zip(*items, strict=True))
        if any(plan != Augmentation() for plan in plans):
            donors = [self.cases.masks[n] for n in self._donors]
            images = torch.stack([picture.float() for picture in pictures])
            truths = torch.stack([mask.float() for mask in masks])
            images, truths = augment(images, truths, plans, donors=donors)
            pictures, masks = [normalised(image, self.recipe.prepare) for image in images], list(truths)
        cut = []
        for n, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
            window = crop_window(mask, self.recipe.train.crop, np.random.default_rng((seed, step, n, _CROP)))
            cut.append((picture[window].float(), mask[window].float()))
        return Batch(*(torch.stack(part)[:, None] for part in zip(*cut, strict=True)))

    def _item(self, number: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Augmentation]:
        """The `number`-th item since the start: its image, its truth, as they are stored, and what happens to them."""
        config = self.recipe.augment
        if self._painter is not None and rng.random() < config.synthetic_fraction:
            head = self._painter.head(self.recipe.train.seed, number, 0, _PAINT)
            return normalised(head.image, self.recipe.prepare), head.truth, Augmentation()
        epoch, place = divmod(number, len(self.cases))
        order = np.random.default_rng((self.recipe.train.seed, epoch, 0, _ORDER)).permutation(len(self.cases))
        case = int(order[place])
        plan = Augmentation.sample(rng, config, donors=len(self._donors))
        return self.cases.images[case], self.cases.masks[case], plan
