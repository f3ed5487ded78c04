"""Approximate skull stripping, as a quick tool would do it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from insula.simulate.fields import blur

__all__ = ["CELL", "brain_of", "soft_brain"]

CELL = 2
"""Voxels per cell, along each axis, of the grid that the search runs on."""
_TISSUE = 0.55, 1.35  # white matter is 1: below is CSF and bone, above is fat
_THIN = 1  # cells; bridges no thicker than twice this are cut: veins, dura, the nerves of the eyes
_STEPS = 80  # steps of growing; 160 mm reach every corner of a brain from its middle
_PLAUSIBLE_ML = 500.0, 2200.0


def brain_of(image: Float[Tensor, "i j k"]) -> Bool[Tensor, "i j k"]:
    """Return a mask of the brain in a head: tissue that hangs together once thin bridges are cut.

    If that fails (implausible volume), everything counts as brain, so that nothing is lost.

    Args:
        image: T1w, air 0, white matter about 1, at 1 mm, the head about in the middle.
    """
    return F.interpolate(soft_brain(image)[None, None], size=image.shape, mode="trilinear")[0, 0] > 0.5


def soft_brain(image: Float[Tensor, "i j k"]) -> Float[Tensor, "i2 j2 k2"]:
    """Return a soft brain mask on a grid of `CELL` voxels; brain is where its interpolation exceeds a half."""
    coarse = F.avg_pool3d(image[None, None], CELL)
    tissue = ((coarse > _TISSUE[0]) & (coarse < _TISSUE[1])).float()
    core = _erode(tissue, _THIN)
    grown = torch.zeros_like(core)
    i, j, k = (slice(3 * n // 8, max(5 * n // 8, 3 * n // 8 + 1)) for n in core.shape[2:])
    grown[..., i, j, k] = core[..., i, j, k]
    for _ in range(_STEPS):  # a fixed number, so that the device is never waited for
        grown = _dilate(grown, 1) * core
    near = _dilate(grown, _THIN + 2)
    brain = _erode(_dilate(near, 3), 3)[0, 0]  # sulci and ventricles closed
    soft = blur(brain, 2.0 / CELL)
    volume_ml = float((soft > 0.5).sum()) * CELL**3 / 1000
    return soft if _PLAUSIBLE_ML[0] < volume_ml < _PLAUSIBLE_ML[1] else torch.ones_like(soft)


def _dilate(x: Tensor, cells: int) -> Tensor:
    for _ in range(cells):
        x = F.max_pool3d(x, 3, stride=1, padding=1)
    return x


def _erode(x: Tensor, cells: int) -> Tensor:
    return 1 - _dilate(1 - x, cells)
