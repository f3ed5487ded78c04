"""Grafts: outlines of lesions in brains that they were not drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from insula.simulate import Deformation, Look, Outline, draw_look
from insula.simulate.infarct import grain_cells
from insula.simulate.ingredients import NO_LESION, Ingredients
from insula.types import Shape

__all__ = ["Graft", "LesionGrafts", "NO_PLACEMENT", "ingredients_of", "lay_truth", "within_box"]

_LEAST_VOXELS = 5
_CHRONIC = 0.6
_INSET_PART = 0.25  # of a lesion's radius; the visible change of a small lesion ends no farther inside

Volumes = Float[Tensor, "b i j k"]
Placement = tuple[tuple[float, float, float, float], ...]
NO_PLACEMENT: Placement = ((0.0, 0.0, 0.0, -1e4),) * 3
"""A placement that reads nothing from any outline."""


@dataclass(frozen=True, kw_only=True)
class Graft:
    """One outline and its placement in the head."""

    outline: int
    """Index of the outline among those passed along with the plan."""
    placement: Placement
    """3x4: voxel of the head -> voxel of the outline."""


@dataclass(frozen=True, kw_only=True)
class LesionGrafts:
    """The lesions that a head gets, and their look."""

    grafts: tuple[Graft, ...]
    """At least one."""
    look: Look
    """One look for all of them, because the infarcts of one head are mostly equally old."""
    cells_mm: tuple[float, float, float]
    """Distances between the nodes of their three noises."""
    volume_ml: float
    """Approximate volume of the smallest lesion; a small lesion shows nearly out to its outline."""
    seed: int
    """Seed of the noises."""

    @classmethod
    def of(cls, rng: np.random.Generator, grafts: Sequence[Graft], look: Look, *, volume_ml: float) -> LesionGrafts:
        """Draw the noises for given grafts and a given look."""
        return cls(
            grafts=tuple(grafts),
            look=look,
            cells_mm=grain_cells(rng),
            volume_ml=volume_ml,
            seed=int(rng.integers(2**31)),
        )

    @classmethod
    def sample(cls, rng: np.random.Generator, outlines: Sequence[Outline], box: Shape) -> LesionGrafts:
        """Draw an outline of the cohort for another case of the same box, moved a little, acute or chronic.

        The outline stays on its side, where a crop looks for it; the deformation of the case exchanges left and right.
        """
        phase: Literal["acute", "chronic"] = "chronic" if rng.random() < _CHRONIC else "acute"
        number = int(rng.integers(len(outlines)))
        move = replace(Deformation.sample(rng), elastic_mm=0.0, mirror=False)
        graft = Graft(outline=number, placement=within_box(move, box))
        return cls.of(rng, [graft], draw_look(rng, phase=phase), volume_ml=outlines[number].volume_ml)


def within_box(move: Deformation, box: Shape) -> Placement:
    """Return the placement of an outline whose box is like the head's own.

    It is moved by the affine part of a deformation.
    """
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in move.affine(box))


def ingredients_of(lesions: LesionGrafts | None, csf: float, grey: float) -> Ingredients[float]:
    """Return the numbers of the infarct's arithmetic; without a lesion, numbers that change nothing."""
    if lesions is None:
        return NO_LESION
    ingredients = lesions.look.ingredients(csf=csf, grey=grey)
    radius_mm = (3 * 1000 * lesions.volume_ml / (4 * np.pi)) ** (1 / 3)
    return ingredients._replace(inset_mm=min(ingredients.inset_mm, max(_INSET_PART * radius_mm, 0.05)))


def lay_truth(outlines: Volumes, allowed: Bool[Tensor, "b i j k"], truths: Volumes) -> Volumes:
    """Return the truth of the grafts: the outline, where an expert could have drawn it and no lesion is yet.

    Args:
        outlines: 0 or 1, on the images' grid.
        allowed: the brain with the CSF in its sulci, without its ventricles.
        truths: lesions that the head has already.

    Returns:
        0 or 1; a graft of under five voxels is left out.
    """
    new = (outlines > 0.5) & allowed & (truths < 0.5)
    return (new & (new.sum((1, 2, 3), keepdim=True) >= _LEAST_VOXELS)).float()
