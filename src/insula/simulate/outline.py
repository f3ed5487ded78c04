"""Outlines of lesions, from which simulated patients get theirs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int16, UInt8
from torch import Tensor

from insula.types import Shape

__all__ = ["FORM", "Outline", "draw_ovoid"]

FORM = 2
"""Version of the simulation. It is raised when the same seed gives another head than before, so that two populations
never mix in one cohort or run."""
_POINTS = 64  # voxels of an outline that are enough to check its placement


@dataclass(frozen=True, eq=False, kw_only=True)
class Outline:
    """The outline of a lesion, by an expert or an ovoid the size of a lacune: a crop at 1 mm, RAS+."""

    name: str
    """Where the outline comes from."""
    voxels: UInt8[Tensor, "i j k"] | Bool[Tensor, "i j k"]
    """0 or 1."""
    origin_mm: tuple[float, float, float]
    """Position of voxel (0, 0, 0) in the atlas."""

    @cached_property
    def shape(self) -> Shape:
        """Voxels in each direction; kept, because a tensor's own shape is slow to ask a thousand outlines for."""
        i, j, k = self.voxels.shape
        return i, j, k

    @cached_property
    def volume_ml(self) -> float:
        """Volume [ml]."""
        return int(self.voxels.sum()) / 1000

    @cached_property
    def points(self) -> Int16[np.ndarray, "n 3"]:
        """At most 64 of its voxels, evenly spaced over their list, in CPU memory."""
        inside = self.voxels.nonzero()
        chosen = torch.linspace(0, max(len(inside) - 1, 0), min(_POINTS, len(inside)), device=inside.device).long()
        return inside[chosen].to(torch.int16).cpu().numpy()


def draw_ovoid(rng: np.random.Generator, *, smallest_mm: float = 3.0, largest_mm: float = 15.0) -> Outline:
    """Draw the outline of a lacune: an ellipsoid, 3 to 15 mm across, not placed yet.

    Source:
        Duering 2023, STRIVE-2, Lancet Neurology 22:602 (lacunes of presumed vascular origin: 3 to 15 mm).
    """
    across = np.exp(rng.uniform(np.log(smallest_mm), np.log(largest_mm))) * np.array([1.0, *rng.uniform(0.5, 1.0, 2)])
    radii = rng.permutation(np.maximum(across, smallest_mm * 0.8)) / 2
    half = np.ceil(radii).astype(int) + 1
    places = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in half), indexing="ij"))
    uneven = rng.normal(0, 0.06, places.shape[1:])
    inside = ((places / radii[:, None, None, None]) ** 2).sum(0) + uneven <= 1
    inside[tuple(half)] = True
    x, y, z = (float(-n) for n in half)
    return Outline(name="ovoid", voxels=torch.from_numpy(inside.astype(np.uint8)), origin_mm=(x, y, z))
