"""Images without a head, for the kind network's training."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from insula.contrast.kinds import Kind
from insula.contrast.spoil import BOX, MM, field, resolved, shading

__all__ = ["no_head"]


def no_head(rng: np.random.Generator, generator: torch.Generator) -> Float[Tensor, "i j k"]:
    """Return an image without a head: a phantom of water and inserts, a limb or a trunk, or noise."""
    grids = torch.meshgrid(*(torch.linspace(-1, 1, n) * n * MM / 2 for n in BOX), indexing="ij")
    which = rng.random()
    if which < 0.15:
        return torch.rand(BOX, generator=generator) + 0.3 * field(BOX, int(rng.integers(2, 8)), generator)
    radii = rng.uniform(45, 100, 3)
    if which < 0.5:  # phantoms: even, sharp, round or cylindrical
        ends = 2 if rng.random() < 0.5 else 12
        away = sum(
            abs(g / r) ** (ends if axis == 2 else 2) for axis, (g, r) in enumerate(zip(grids, radii, strict=True))
        )
        image = (away < 1).float()
        for _ in range(int(rng.integers(0, 12))):
            middle, size = rng.uniform(-60, 60, 3), rng.uniform(4, 25)
            hit = sum((g - m) ** 2 for g, m in zip(grids, middle, strict=True)) < size**2
            image = torch.where(hit & (image > 0), float(rng.uniform(0, 1.5)), image)
    else:  # limbs and trunks: layers and organs, in another order than a head's
        bent = 0.25 * field(BOX, 10, generator)
        away = sum((g / r) ** 2 for g, r in zip(grids[:2], radii[:2] * rng.uniform(0.5, 1.2, 2), strict=True)) + bent
        skin = (away < 1.0).float() * float(rng.uniform(0.6, 1.2))
        inner = torch.where(away < float(rng.uniform(0.5, 0.85)), float(rng.uniform(0.2, 0.8)), skin)
        organs = field(BOX, int(rng.integers(4, 12)), generator)
        image = torch.where((organs > 0.5) & (away < 0.7), float(rng.uniform(0, 1.2)), inner)
        image = torch.where((away < float(rng.uniform(0.02, 0.15))), float(rng.uniform(0, 1.0)), image)
    image = image * shading(BOX, generator, float(rng.uniform(0, 0.5)))
    image = resolved(image, Kind.NO_HEAD, rng)
    return (image + float(rng.uniform(0.005, 0.08)) * torch.randn(BOX, generator=generator)).abs()
