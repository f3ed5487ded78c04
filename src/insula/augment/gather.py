"""The numbers and volumes of a batch of plans: everything that differs from one batch to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from insula.augment.graft import NO_PLACEMENT, ingredients_of
from insula.augment.original import Original
from insula.augment.plan import Augmentation, Paint, tones
from insula.simulate import Confounders, Deformation, Outline, ScannerLook, Tissue
from insula.simulate.confounders import confounder_numbers
from insula.simulate.deform import affines, lay_velocity, most_nodes, nodes_apart
from insula.simulate.fields import node_counts, noise
from insula.simulate.infarct import grain_room
from insula.simulate.scanner import scan_numbers
from insula.types import Shape

__all__ = ["Desk", "Layout", "Stages", "numbers_of", "pack", "unpack"]

Layout = tuple[tuple[str, tuple[int, ...]], ...]
"""Names and shapes of the packed arrays, in order."""
_NO_PAINT = Paint(palette=(0.0,) * len(Tissue), share=0.0, texture=0.0, blur_mm=0.0)
_CELLS_MM = 3.0, 4.5, 12.0  # cells of the noises of a head without a lesion: its paint's texture, its caps' borders


class Stages(NamedTuple):
    """Stages of work that a batch needs; an item that does not need one passes through it unchanged."""

    truth: bool
    """Whether cases have lesions of their own."""
    brain: bool
    """Whether cases have a brain mask of their own."""
    tissue: bool
    """Whether any stage needs to know the tissues."""
    deform: bool
    lesions: bool
    confounders: bool
    paint: bool
    strip: bool
    scan: bool

    @classmethod
    def of(cls, originals: Sequence[Original], plans: Sequence[Augmentation]) -> Stages:
        """Return the stages that any of the plans needs."""
        lesions = any(plan.lesions is not None for plan in plans)
        confounders = any(plan.confounders is not None for plan in plans)
        paint = any(plan.paint is not None for plan in plans)
        known = any(original.tissue is not None for original in originals)
        return cls(
            truth=any(original.tissue is None for original in originals),
            brain=any(original.brain is not None for original in originals),
            tissue=known or lesions or confounders or paint,
            deform=any(plan.deformation is not None for plan in plans),
            lesions=lesions,
            confounders=confounders,
            paint=paint,
            strip=any(plan.strip is not None or plan.deface for plan in plans),
            scan=any(plan.scanner is not None for plan in plans),
        )

    @classmethod
    def of_heads(cls) -> Stages:
        """Return every stage that a simulated head may need, so that one recording serves every batch."""
        return cls(
            truth=False,
            brain=False,
            tissue=True,
            deform=True,
            lesions=True,
            confounders=True,
            paint=True,
            strip=True,
            scan=True,
        )

    @property
    def moves(self) -> bool:
        """Whether tissue is displaced inside a head."""
        return self.lesions or self.confounders


def numbers_of(
    originals: Sequence[Original], plans: Sequence[Augmentation], starts: Sequence[Shape], crop: Shape, *, grafts: int
) -> dict[str, np.ndarray]:
    """Return the numbers of a batch as arrays by name, batch first; what a plan lacks gets neutral numbers.

    Args:
        originals: whole cases.
        plans: one per case.
        starts: first voxel of each crop.
        crop: voxels of a crop along each axis.
        grafts: number of lesions that each item has room for.
    """
    box, levels = originals[0].box, [original.levels for original in originals]
    deformations = [plan.deformation or Deformation() for plan in plans]
    looks = [plan.scanner or ScannerLook() for plan in plans]
    paints = [plan.paint or _NO_PAINT for plan in plans]
    scans = scan_numbers(looks, white=[1.0] * len(plans), box=box, shape=crop, starts=starts)
    confounders = [plan.confounders or Confounders() for plan in plans]
    ingredients = [
        ingredients_of(plan.lesions, *tones(level, plan.paint)) for plan, level in zip(plans, levels, strict=True)
    ]
    return {
        "affine": affines(deformations, crop),
        "apart": nodes_apart(deformations, crop),
        "unit": np.array([(level.air, level.width) for level in levels]),
        "known": np.array([original.knows_brain for original in originals]),
        "strip": np.array([-1.0 if plan.strip is None else plan.strip for plan in plans]),
        "deface": np.array([plan.deface for plan in plans]),
        "placement": np.array([_placements(plan, grafts) for plan in plans]),
        "lesion": np.array(ingredients),
        "grain_apart": np.stack([_apart(plan, crop) for plan in plans]),
        **confounder_numbers(confounders),
        "palette": np.array([paint.palette for paint in paints]),
        "paint": np.array([(paint.share, paint.texture, paint.blur_mm) for paint in paints]),
        **{f"scan_{name}": part for name, part in scans._asdict().items()},
    }


def _placements(plan: Augmentation, room: int) -> list[object]:
    placed = [graft.placement for graft in plan.lesions.grafts] if plan.lesions else []
    return [*placed, *[NO_PLACEMENT] * (room - len(placed))]


def _cells(plan: Augmentation) -> tuple[float, float, float]:
    return plan.lesions.cells_mm if plan.lesions else _CELLS_MM


def _apart(plan: Augmentation, crop: Shape) -> np.ndarray:
    """Return the distance between nodes of the three noises along each axis [voxels]."""
    counts = [node_counts(crop, mm) for mm in _cells(plan)]
    return (np.array(crop) - 1) / (np.array(counts) - 1)


def pack(numbers: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Layout]:
    """Return all arrays as one of float32, because every transfer to a device costs the same."""
    layout = tuple((name, part.shape) for name, part in numbers.items())
    return np.concatenate([part.ravel() for part in numbers.values()]).astype(np.float32), layout


def unpack(flat: Tensor, layout: Layout) -> dict[str, Tensor]:
    """Return views of the packed arrays by name."""
    parts = flat.split([int(np.prod(shape)) for _, shape in layout])
    return {name: part.view(shape) for (name, shape), part in zip(layout, parts, strict=True)}


@dataclass(frozen=True)
class Desk:
    """The buffers of a batch's volumes. Batches of one size share them, so that work on them can be recorded."""

    device: torch.device
    _held: dict[tuple[str, tuple[int, ...]], Tensor] = field(default_factory=dict)

    def place(self, name: str, *shape: int) -> Tensor:
        """Return the buffer of this name and shape; it is allocated on first use."""
        if (name, shape) not in self._held:
            self._held[name, shape] = torch.zeros(shape, device=self.device)
        return self._held[name, shape]

    def lay_out(
        self,
        originals: Sequence[Original],
        plans: Sequence[Augmentation],
        starts: Sequence[Shape],
        crop: Shape,
        outlines: Sequence[Outline],
        *,
        stages: Stages,
        grafts: int,
    ) -> dict[str, Tensor]:
        """Copy every item's volumes into the batch's buffers, and return these by name; (b, ...)."""
        count = len(plans)
        coarse = [original.coarse(plan) for original, plan in zip(originals, plans, strict=True)]
        laid = {"coarse": self.place("coarse", count, *coarse[0].shape), "hiss": self._hiss(coarse[0])}
        for held, part in zip(laid["coarse"], coarse, strict=True):
            held.copy_(part)
        laid["pair"] = self._cut(originals, starts, crop, stages)
        if stages.tissue:
            laid |= self._tissues(originals, starts, crop, stages)
        if stages.deform:
            deformations = [plan.deformation or Deformation() for plan in plans]
            laid["velocity"] = self.place("velocity", count, 3, *most_nodes(deformations, crop))
            for held, deformation in zip(laid["velocity"], deformations, strict=True):
                lay_velocity(held, deformation, crop)
        if stages.strip or stages.moves:
            laid |= self._around(originals)
        if stages.lesions:
            laid["outline"] = self._outlines(plans, outlines, grafts)
        if stages.moves or stages.paint:
            laid |= self._grain(plans, crop)
        return laid

    def _cut(self, originals: Sequence[Original], starts: Sequence[Shape], crop: Shape, stages: Stages) -> Tensor:
        """Copy images, truths and brains: whole volumes if anything moves, otherwise the crops."""
        whole = stages.deform or stages.moves
        shape = originals[0].box if whole else crop
        pairs = self.place("pair", len(originals), 1 + stages.truth + stages.brain, *shape)
        for held, original, window in zip(pairs, originals, _windows(starts, crop, whole=whole), strict=True):
            image, mask = original.here
            held[0].copy_(image[window])
            if stages.truth:
                held[1].copy_(mask[window])
            if stages.brain and original.brain is not None:
                held[-1].copy_(original.brain[window], non_blocking=True)
            elif stages.brain:
                held[-1].fill_(-1)
        return pairs

    def _tissues(
        self, originals: Sequence[Original], starts: Sequence[Shape], crop: Shape, stages: Stages
    ) -> dict[str, Tensor]:
        whole = stages.deform or stages.moves
        shape = originals[0].box if whole else crop
        codes = self.place("codes", len(originals), 1, *shape)
        few = self.place("few_codes", len(originals), *originals[0].coarse_codes.shape)
        for n, (original, window) in enumerate(zip(originals, _windows(starts, crop, whole=whole), strict=True)):
            codes[n, 0].copy_(original.codes[window])
            few[n].copy_(original.coarse_codes)
        return {"codes": codes, "few_codes": few}

    def _around(self, originals: Sequence[Original]) -> dict[str, Tensor]:
        around = self.place("around", len(originals), *originals[0].around.shape)
        few = self.place("few_around", len(originals), *originals[0].coarse_around.shape)
        for n, original in enumerate(originals):
            around[n].copy_(original.around)
            few[n].copy_(original.coarse_around)
        return {"around": around, "few_around": few}

    def _outlines(self, plans: Sequence[Augmentation], outlines: Sequence[Outline], grafts: int) -> Tensor:
        """Copy each graft's outline into one corner of a common buffer."""
        i, j, k = (max(sizes) for sizes in zip(*(outline.shape for outline in outlines), strict=True))
        room = self.place("outline", len(plans), grafts, i, j, k).zero_()
        for held, plan in zip(room, plans, strict=True):
            for slot, graft in zip(held, plan.lesions.grafts if plan.lesions else (), strict=False):
                outline = outlines[graft.outline]
                a, b, c = outline.shape
                slot[:a, :b, :c].copy_(outline.voxels, non_blocking=True)
        return room

    def _grain(self, plans: Sequence[Augmentation], crop: Shape) -> dict[str, Tensor]:
        """Draw noise at nodes for textures of a few millimetres, and noise voxel by voxel."""
        room = grain_room(crop)
        nodes, speckle = self.place("nodes", len(plans), 3, *room).zero_(), self.place("speckle", len(plans), *crop)
        for n, plan in enumerate(plans):
            seed = plan.lesions.seed if plan.lesions else plan.paint.seed if plan.paint else 0
            for held, mm in zip(nodes[n], _cells(plan), strict=True):
                i, j, k = node_counts(crop, mm)
                held[:i, :j, :k].copy_(noise((i, j, k), seed=seed + round(1000 * mm), device=self.device))
            speckle[n].copy_(noise(crop, seed=seed + 1, device=self.device))
        return {"nodes": nodes, "speckle": speckle}

    def _hiss(self, like: Tensor) -> Tensor:
        """Return two fields of standard normal noise, the same for all heads; with so many voxels any will do."""
        held = self.place("hiss", 2, *like.shape)
        return held.copy_(noise((2, *like.shape), seed=0, device=self.device))


def _windows(starts: Sequence[Shape], crop: Shape, *, whole: bool) -> list[tuple[slice, slice, slice]]:
    if whole:
        return [(slice(None),) * 3 for _ in starts]
    out = []
    for start in starts:
        i, j, k = (slice(a, a + n) for a, n in zip(start, crop, strict=True))
        out.append((i, j, k))
    return out
