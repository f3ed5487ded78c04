"""What a batch of plans needs, as numbers and as volumes: everything that differs from one batch to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from insula.augment.graft import tissue_bounds
from insula.augment.original import Original
from insula.augment.plan import Augmentation
from insula.simulate import Deformation, ScannerLook
from insula.simulate.deform import affines, lay_velocity, most_nodes, nodes_apart
from insula.simulate.fields import noise
from insula.simulate.lesion import look_numbers, uneven_nodes
from insula.simulate.scanner import scan_numbers
from insula.types import Shape

__all__ = ["Desk", "Layout", "Stages", "numbers_of", "pack", "unpack"]

Layout = tuple[tuple[str, tuple[int, ...]], ...]
"""Names and shapes of the arrays that were packed, in order."""


class Stages(NamedTuple):
    """Which kinds of work a batch needs; an item that does not need one goes through it unchanged."""

    deform: bool
    graft: bool
    strip: bool
    scan: bool

    @classmethod
    def of(cls, plans: Sequence[Augmentation]) -> Stages:
        """All kinds that any of the plans has."""
        return cls(
            deform=any(plan.deformation is not None for plan in plans),
            graft=any(plan.graft is not None for plan in plans),
            strip=any(plan.strip for plan in plans),
            scan=any(plan.scanner is not None for plan in plans),
        )


def numbers_of(
    originals: Sequence[Original], plans: Sequence[Augmentation], starts: Sequence[Shape], crop: Shape
) -> dict[str, np.ndarray]:
    """Arrays by name, the batch first; a plan without a deformation, a graft or a scanner has numbers that change nothing."""
    box, levels = originals[0].box, [original.levels for original in originals]
    deformations = [plan.deformation or Deformation() for plan in plans]
    placements = [plan.graft.placement if plan.graft else Deformation() for plan in plans]
    infarcts = [plan.graft.look if plan.graft else None for plan in plans]
    looks = [plan.scanner or ScannerLook() for plan in plans]
    scans = scan_numbers(looks, white=[1.0] * len(plans), box=box, shape=crop, starts=starts)
    return {
        "affine": affines(deformations, crop),
        "apart": nodes_apart(deformations, crop),
        "unit": np.array([(level.air, level.width) for level in levels]),
        "keep": np.array([not plan.strip for plan in plans]),
        "placement": affines(placements, box),
        "tissue": np.array([tissue_bounds(level) for level in levels]),
        "infarct": look_numbers(infarcts, csf=[level.csf for level in levels], grey=[level.grey for level in levels]),
        **{f"scan_{name}": part for name, part in scans._asdict().items()},
    }


def pack(numbers: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Layout]:
    """All of them as one float32 array, because every transfer to a device costs the same."""
    layout = tuple((name, part.shape) for name, part in numbers.items())
    return np.concatenate([part.ravel() for part in numbers.values()]).astype(np.float32), layout


def unpack(flat: Tensor, layout: Layout) -> dict[str, Tensor]:
    """Views of what was packed."""
    parts = flat.split([int(np.prod(shape)) for _, shape in layout])
    return {name: part.view(shape) for (name, shape), part in zip(layout, parts, strict=True)}


@dataclass(frozen=True)
class Desk:
    """Where a batch's volumes lie: at the same place for every batch of the same size, so that work on them can be recorded."""

    device: torch.device
    _held: dict[tuple[str, tuple[int, ...]], Tensor] = field(default_factory=dict)

    def place(self, name: str, *shape: int) -> Tensor:
        """What lies there, or room for it."""
        if (name, shape) not in self._held:
            self._held[name, shape] = torch.zeros(shape, device=self.device)
        return self._held[name, shape]

    def lay_out(
        self, originals: Sequence[Original], plans: Sequence[Augmentation], starts: Sequence[Shape], crop: Shape,
        donors: Sequence[Bool[Tensor, "i j k"]],
    ) -> dict[str, Tensor]:  # fmt: skip
        """Every item's volumes in the batch's own, by name; (b, ...)."""
        stages, count, box = Stages.of(plans), len(plans), originals[0].box
        coarse = [original.coarse(plan) for original, plan in zip(originals, plans, strict=True)]
        laid = {"coarse": self.place("coarse", count, *coarse[0].shape), "speckle": self._speckle(coarse[0])}
        for held, part in zip(laid["coarse"], coarse, strict=True):
            held.copy_(part)
        shape = box if stages.deform else crop
        laid["pair"] = self.place("pair", count, 2, *shape)
        for held, original, start in zip(laid["pair"], originals, starts, strict=True):
            i, j, k = (slice(a, a + n) for a, n in zip(start, crop, strict=True))
            window = (slice(None),) * 3 if stages.deform else (i, j, k)
            for part, volume in zip(held, original.here, strict=True):
                part.copy_(volume[window])
        if stages.deform:
            deformations = [plan.deformation or Deformation() for plan in plans]
            laid["velocity"] = self.place("velocity", count, 3, *most_nodes(deformations, crop))
            for held, deformation in zip(laid["velocity"], deformations, strict=True):
                lay_velocity(held, deformation, crop)
        if stages.graft:
            laid |= self._grafts(plans, crop, donors)
        if stages.strip:
            laid["brain"] = self.place("brain", count, *originals[0].soft_brain.shape)
            for held, original, plan in zip(laid["brain"], originals, plans, strict=True):
                if plan.strip:
                    held.copy_(original.soft_brain)
        return laid

    def _grafts(
        self, plans: Sequence[Augmentation], crop: Shape, donors: Sequence[Bool[Tensor, "i j k"]]
    ) -> dict[str, Tensor]:
        grafts = [plan.graft for plan in plans]
        drawn = [None if graft is None else uneven_nodes(crop, graft.look, self.device) for graft in grafts]
        some = next(nodes for nodes in drawn if nodes is not None)
        shapes = {"donor": donors[0].shape, "uneven": some.shape, "grain": crop}
        laid = {name: self.place(name, len(plans), *shape) for name, shape in shapes.items()}
        for n, (graft, nodes) in enumerate(zip(grafts, drawn, strict=True)):
            if graft is None or nodes is None:
                laid["donor"][n].zero_()
            else:
                laid["donor"][n].copy_(donors[graft.donor].to(self.device, non_blocking=True))
                laid["uneven"][n].copy_(nodes)
                laid["grain"][n].copy_(noise(crop, seed=graft.look.seed + 1, device=self.device))
        return laid

    def _speckle(self, like: Tensor) -> Tensor:
        """Two fields of standard normal noise, the same for all heads: in so many voxels none is like another."""
        held = self.place("speckle", 2, *like.shape)
        return held.copy_(noise((2, *like.shape), seed=0, device=self.device))
