"""Simulated patients: lesion-free heads with lesions from real outlines, confounders and a scanner, all drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from insula.augment.apply import augment
from insula.augment.graft import Graft, LesionGrafts
from insula.augment.original import Original
from insula.augment.placement import place, points_in_head
from insula.augment.plan import Augmentation, Paint, tones
from insula.config import SimulateConfig
from insula.simulate import (
    Chronic,
    Confounders,
    Deformation,
    Lacune,
    Look,
    Outline,
    ScannerLook,
    draw_look,
    draw_ovoid,
    insert_unfamiliar,
)
from insula.simulate.anatomy import draw_palette
from insula.types import Phase

__all__ = ["Given", "OutlineSet", "SimulatedHead", "carry_out", "draw_head", "look_at", "simulate_head"]

_SMALL_ML = 10.0
_TERRITORY_ML = 5.0  # above this volume the tract below may degenerate
_OVOIDS = 48
_OVOID_SEED = 1911


@dataclass(frozen=True, eq=False)
class OutlineSet:
    """The outlines that lesions are drawn from: experts' of acute and chronic strokes, and lacune-sized ovoids."""

    acute: tuple[Outline, ...]
    chronic: tuple[Outline, ...]

    @cached_property
    def all(self) -> tuple[Outline, ...]:
        """All outlines: acute, chronic, ovoids. The number of a graft is its index in this order."""
        rng = np.random.default_rng(_OVOID_SEED)
        return (*self.acute, *self.chronic, *(draw_ovoid(rng) for _ in range(_OVOIDS)))

    @cached_property
    def small(self) -> tuple[int, ...]:
        """Numbers of the experts' outlines under 10 ml."""
        experts = (*self.acute, *self.chronic)
        return tuple(n for n, outline in enumerate(experts) if outline.volume_ml < _SMALL_ML)

    @property
    def ovoids(self) -> range:
        """Numbers of the ovoids, which serve as lacunes."""
        return range(len(self.acute) + len(self.chronic), len(self.all))

    def to(self, device: torch.device) -> OutlineSet:
        """Copy the set to a device, with lists of points and volumes that are already measured."""
        moved = OutlineSet(*(tuple(_on(outline, device) for outline in part) for part in (self.acute, self.chronic)))
        moved.__dict__["all"] = tuple(_on(outline, device) for outline in self.all)
        moved.__dict__["small"] = self.small
        return moved

    def draw(self, rng: np.random.Generator, config: SimulateConfig) -> tuple[tuple[int, ...], bool]:
        """Draw the outlines of one head: their numbers, and whether they are lacunes."""
        if rng.random() < config.lacune_fraction:
            return tuple(int(rng.choice(self.ovoids)) for _ in range(1 + int(rng.integers(config.most_lesions)))), True
        if config.small_fraction and rng.random() < config.small_fraction and self.small:
            return tuple(self.small[int(rng.integers(len(self.small)))] for _ in range(config.most_lesions)), False
        numbers = [self._draw_expert(rng)]
        while len(numbers) < config.most_lesions and rng.random() < config.further_lesion_fraction:
            numbers.append(self._draw_expert(rng))
        return tuple(numbers), False

    def _draw_expert(self, rng: np.random.Generator) -> int:
        acute = bool(self.acute) and (not self.chronic or rng.random() < 0.6)
        return int(rng.integers(len(self.acute))) if acute else len(self.acute) + int(rng.integers(len(self.chronic)))


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatedHead:
    """A simulated head as a scanner would show it, with its truth."""

    image: Float[Tensor, "i j k"]
    """White matter about 1."""
    truth: Float[Tensor, "i j k"]
    """0 or 1; all 0 for a control."""
    brain: Float[Tensor, "i j k"]
    """1 brain with its ventricles and the CSF in its sulci, 0 not brain; -1 where the host does not know."""
    phase: Phase
    """Acute, chronic or control."""
    host: str
    """Name of the head that it was made from."""
    plan: Augmentation
    """Everything that was drawn."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What is fixed instead of drawn; everything else is left to chance."""

    numbers: tuple[int, ...] | None = None
    """Numbers of the outlines that the head gets; empty for a control."""
    phase: Literal["acute", "chronic"] | None = None
    """Phase of its lesions."""
    look: Look | None = None
    """Look of its lesions."""
    scanner: ScannerLook | None = None
    painted: bool = False
    """Whether a head is painted even if it has an image."""
    deform: bool = True
    """Whether the anatomy is deformed."""


def draw_head(
    rng: np.random.Generator, host: Original, outlines: OutlineSet, config: SimulateConfig, fixed: Given = Given()
) -> Augmentation:
    """Draw everything that makes a patient of a lesion-free head.

    Args:
        rng: the source of chance.
        host: the lesion-free head.
        outlines: where lesions are drawn from.
        config: how often each kind of head is drawn.
        fixed: what is not drawn.
    """
    numbers, lacunes = fixed.numbers, False
    if numbers is None:
        numbers, lacunes = ((), False) if rng.random() < config.control_fraction else outlines.draw(rng, config)
    phase = fixed.phase or ("chronic" if rng.random() < config.chronic_fraction else "acute")
    paint = _draw_paint(rng, config, whole=fixed.painted or host.image is None)
    csf, _ = tones(host.levels, paint)
    lesions, centre = None, None
    if numbers:
        chosen = fixed.look or (Lacune.sample(rng) if lacunes else draw_look(rng, phase=phase))
        spots = [outlines.all[n] for n in numbers]
        places = [place(rng, host, spot, deep=n in outlines.ovoids) for n, spot in zip(numbers, spots, strict=True)]
        grafts = [Graft(outline=n, placement=_rows(matrix)) for n, matrix in zip(numbers, places, strict=True)]
        lesions = LesionGrafts.of(rng, grafts, chosen, volume_ml=min(spot.volume_ml for spot in spots))
        largest = max(range(len(spots)), key=lambda n: spots[n].volume_ml)
        if spots[largest].volume_ml > _TERRITORY_ML and isinstance(chosen, Chronic):
            centre = _back(places[largest], spots[largest].points.mean(0))
    confounders = Confounders.sample(
        rng, places=host.places, to_atlas=host.to_atlas, csf=csf, rate=config.confounders, lesion=centre
    )
    strip, deface = _draw_sharing(rng, host, config)
    return Augmentation(
        lesions=lesions,
        deformation=Deformation.sample(rng, shift_mm=config.shift_mm) if fixed.deform else None,
        confounders=confounders,
        paint=paint,
        strip=strip,
        deface=deface,
        scanner=fixed.scanner
        or ScannerLook.sample(rng, artefacts=config.artefact_chance, spin_echo=config.spin_echo_fraction),
    )


def look_at(plan: Augmentation, outlines: OutlineSet) -> list[np.ndarray]:
    """Return the places of a plan's lesions: a sample of each lesion's voxels [voxels of the head].

    A large lesion has more voxels in its sample than a small one.
    """
    if plan.lesions is None:
        return []
    samples = []
    for graft in plan.lesions.grafts:
        placement = np.vstack([graft.placement, [0, 0, 0, 1]])
        samples.append(np.rint(points_in_head(outlines.all[graft.outline], placement)).astype(np.int64))
    return samples


def simulate_head(
    host: Original,
    outlines: OutlineSet,
    config: SimulateConfig,
    rng: np.random.Generator,
    fixed: Given = Given(),
    *,
    unfamiliar: bool = False,
) -> SimulatedHead:
    """Simulate one whole head, with the code that makes training's crops.

    Args:
        host: the lesion-free head; its device does the work.
        outlines: where lesions are drawn from, on the same device.
        config: how often each kind of head is drawn.
        rng: the source of chance; the same state gives the same head on the same kind of device.
        fixed: what is not drawn.
        unfamiliar: whether the lesions look as `insert_unfamiliar` draws them, which no training sees; the head is the
            same.
    """
    plan = draw_head(rng, host, outlines, config, fixed)
    return carry_out(host, plan, outlines, unfamiliar=unfamiliar)


def carry_out(host: Original, plan: Augmentation, outlines: OutlineSet, *, unfamiliar: bool = False) -> SimulatedHead:
    """Apply a plan to a whole head."""

    def paint_unfamiliar(images: Tensor, truths: Tensor) -> Tensor:
        if not bool(truths.any()) or plan.lesions is None:
            return images
        csf, grey = tones(host.levels, plan.paint)
        rng = np.random.default_rng(plan.lesions.seed)
        return insert_unfamiliar(images[0], truths[0], rng, csf=csf, grey=grey)[None]

    augmented = augment(
        [host],
        [plan],
        starts=[(0, 0, 0)],
        crop=host.box,
        outlines=outlines.all,
        painter=paint_unfamiliar if unfamiliar else None,
    )
    truth = augmented.truth[0]
    phase: Phase = plan.lesions.look.phase if plan.lesions and bool(truth.any()) else "control"
    return SimulatedHead(
        image=augmented.image[0], truth=truth, brain=augmented.brain[0], phase=phase, host=host.name, plan=plan
    )


def _back(matrix: np.ndarray, point: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in (np.linalg.inv(matrix) @ [*point, 1.0])[:3])
    return x, y, z


def _rows(matrix: np.ndarray) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix[:3])


def _draw_paint(rng: np.random.Generator, config: SimulateConfig, *, whole: bool) -> Paint | None:
    if not whole and not (config.blend_fraction and rng.random() < config.blend_fraction):
        return None
    return Paint(
        palette=draw_palette(rng),
        share=1.0 if whole else float(rng.uniform(0.2, 0.7)),
        texture=float(rng.uniform(0.02, 0.08)),
        blur_mm=float(rng.uniform(0.4, 0.9)),
        seed=int(rng.integers(2**31)),
    )


def _draw_sharing(rng: np.random.Generator, host: Original, config: SimulateConfig) -> tuple[float | None, bool]:
    """Draw what data sharing removes: the skull, more or less of it, or the face."""
    if rng.random() < config.strip_fraction or not host.skull:
        return (float(rng.uniform(0.05, 0.6)) if host.skull else 0.5), False
    return None, bool(rng.random() < config.deface_fraction)


def _on(outline: Outline, device: torch.device) -> Outline:
    moved = replace(outline, voxels=outline.voxels.to(device))
    moved.__dict__.update(points=outline.points, volume_ml=outline.volume_ml)
    return moved
