"""Displacement of tissue by a lesion, a cyst or age, as offsets of where voxels are read from [voxels at 1 mm]."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from insula.simulate.anatomy import Tissue
from insula.simulate.fields import blur_wide_each, gradient

__all__ = ["Shift", "Volumes", "near_lesion", "pull", "push", "toward_csf", "widen"]

_PULL_MM = 6.0  # sigma of the blur whose slope is the direction of a pull
_NEAR_MM = 14.0  # sigma of the blur that measures how near a lesion is
_NEAR = 0.12  # value of that blur at which the whole effect applies
_VENTRICLE_MM, _SULCUS_MM = 4.0, 1.5  # sigma of the blur that points to the nearest CSF
_VENTRICLE_TIMES = 2.0  # ventricles give way more than sulci
_SIDE_MM = 22.0, 45.0, 30.0  # half the size of a lateral ventricle and what surrounds it
_LARGEST = 0.62  # a push never brings a voxel nearer than this share of its way to the middle

Volumes = Float[Tensor, "b i j k"]
Vectors = Float[Tensor, "b 3 i j k"]


class Shift(NamedTuple):
    """Displacements in one head, as numbers."""

    atrophy_mm: float = 0.0
    """All ventricles and sulci widen by about this much; negative narrows them."""
    side_mm: float = 0.0
    """One lateral ventricle is wider than the other by about twice this."""
    side_centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Middle of that ventricle [voxels of the head]."""
    push_mm: float = 0.0
    """How far a mass displaces what touches it."""
    push_radius_mm: float = 1.0
    """Radius of the mass."""
    push_centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Middle of the mass [voxels of the head]."""

    def numbers(self) -> tuple[float, ...]:
        """Return all ten numbers in a row."""
        return (
            self.atrophy_mm,
            self.side_mm,
            *self.side_centre,
            self.push_mm,
            self.push_radius_mm,
            *self.push_centre,
        )


def toward_csf(tissue: Tensor) -> Float[Tensor, "3 i2 j2 k2"]:
    """Return the direction to the nearest CSF, averaged over 2x2x2 voxels.

    Its length is about 1 at a sulcus' bank and 2 at a ventricle's wall. Reading from a step along it makes CSF wider
    and tissue narrower.

    Args:
        tissue: codes of `Tissue`, (i, j, k).
    """
    fields = []
    for kinds, sigma, times in (
        ((Tissue.VENTRICLE,), _VENTRICLE_MM, _VENTRICLE_TIMES),
        ((Tissue.SULCAL_CSF, Tissue.OUTER_CSF), _SULCUS_MM, 1.0),
    ):
        csf = torch.zeros_like(tissue, dtype=torch.float32)
        for kind in kinds:
            csf += tissue == kind
        soft = blur_wide_each(csf[None], sigma)[0]
        slope = F.avg_pool3d(gradient(soft)[None], 2)[0]
        # the slope of a blurred flat wall is 0.4 / sigma: in units of that, a wall's is 1 and fades within two sigmas
        fields.append(times * slope * (sigma / 0.4))
    total = torch.stack(fields).sum(0)
    long = total.square().sum(0).sqrt().clamp_min(1e-6)
    return total * (long.clamp_max(_VENTRICLE_TIMES) / long)


def near_lesion(lesions: Volumes) -> Volumes:
    """Return how near a lesion is, 0 to 1, over a few centimetres; 0 everywhere without a lesion."""
    return (blur_wide_each(lesions, _NEAR_MM) / _NEAR).clamp(0, 1)


def pull(lesions: Volumes, pull_mm: Float[Tensor, " b"]) -> Vectors:
    """Return the displacement of neighbours into a shrinking lesion, or away from it if `pull_mm` is negative.

    It is the slope of the blurred lesion, scaled so that the largest step is `pull_mm`; zero without a lesion.
    """
    soft = blur_wide_each(lesions, _PULL_MM)
    slope = torch.stack(torch.gradient(soft, dim=(1, 2, 3)), dim=1)
    longest = slope.square().sum(1).amax((1, 2, 3)).sqrt().clamp_min(1e-6)
    return -(pull_mm / longest)[:, None, None, None, None] * slope


def widen(
    index: Vectors,
    direction: Vectors,
    near: Volumes,
    inside: Volumes,
    shifts: Float[Tensor, "b 10"],
    widening_mm: Float[Tensor, " b"],
) -> Vectors:
    """Return the displacement that widens CSF spaces: everywhere (age), near a lesion, around one lateral ventricle.

    Negative values narrow them.

    Args:
        index: positions that voxels come from [voxels of the head].
        direction: direction to the nearest CSF at these positions, from `toward_csf`.
        near: from `near_lesion`.
        inside: 1 inside a lesion, where its own look decides.
        shifts: rows of `Shift.numbers`.
        widening_mm: widening near the lesion.
    """
    x, y, z = (index - shifts[:, 2:5, None, None, None]).unbind(1)
    a, b, c = _SIDE_MM
    side = torch.exp(-2 * ((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2) ** 2)
    millimetres = shifts[:, 0, None, None, None] + shifts[:, 1, None, None, None] * side
    millimetres = millimetres + widening_mm[:, None, None, None] * near * (1 - inside)
    return direction * millimetres[:, None]


def push(index: Vectors, shifts: Float[Tensor, "b 10"]) -> Vectors:
    """Return the displacement around a ball of tissue or fluid: its surroundings move outward, less with distance."""
    away = index - shifts[:, 7:10, None, None, None]
    far = away.square().sum(1).sqrt().clamp_min(1e-3)
    radius = shifts[:, 6, None, None, None].clamp_min(1.0)
    step = shifts[:, 5, None, None, None] * torch.exp(-(((far - radius).clamp_min(0) / (1.5 * radius + 6)) ** 2))
    step = torch.minimum(step, _LARGEST * far)
    return -away * (step / far)[:, None]


def draw_age(rng: np.random.Generator) -> float:
    """Draw the widening of CSF spaces [mm] with age: mostly little, sometimes much, now and then negative."""
    return float(np.clip(rng.normal(0.1, 0.35), -0.5, 1.3))
