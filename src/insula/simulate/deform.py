"""A change of anatomy that never folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from insula.simulate.fields import identity, look_up_each, resize, smooth_noise
from insula.types import Shape

__all__ = ["Deformation", "deformed_indices"]

_SQUARINGS = 6


@dataclass(frozen=True, kw_only=True)
class Deformation:
    """An affine and a diffeomorphism, as numbers: print it, replay it.

    The elastic part is the flow of a stationary velocity field, so its Jacobian stays positive: tissue is stretched,
    never folded or torn.

    Source:
        Arsigny 2006, A Log-Euclidean framework for statistics on diffeomorphisms, MICCAI, section 2.
    """

    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """About i, j, k."""
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Along i, j, k; above 1 enlarges."""
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Along i, j, k."""
    mirror: bool = False
    """Left and right exchanged."""
    elastic_mm: float = 0.0
    """Standard deviation of the velocity at its control points."""
    cell_mm: float = 32.0
    """Distance of the control points."""
    seed: int = 0
    """Of the velocity field."""

    @classmethod
    def sample(cls, rng: np.random.Generator, *, strength: float = 1.0, shift_mm: float = 6.0) -> Deformation:
        """Draw one; `strength` 1 covers the differences between adult heads, `shift_mm` how far off centre they lie."""
        a, b, c = rng.uniform(-12, 12, 3) * strength
        u, v, w = np.exp(rng.normal(0, 0.06 * strength, 3))
        x, y, z = rng.uniform(-shift_mm, shift_mm, 3) * strength
        return cls(
            rotation_deg=(float(a), float(b), float(c)), scale=(float(u), float(v), float(w)),
            shift_mm=(float(x), float(y), float(z)), mirror=bool(rng.random() < 0.5),
            elastic_mm=float(rng.uniform(0, 5) * strength), cell_mm=float(rng.uniform(20, 48)),
            seed=int(rng.integers(2**31)),
        )  # fmt: skip

    def index(self, shape: Shape, *, device: torch.device) -> Float[Tensor, "3 i j k"]:
        """Where each voxel of the result comes from [voxels of the source]."""
        return deformed_indices([self], shape, device=device)[0]

    def carry(self, points: Float[Tensor, "3 i j k"], shape: Shape) -> Float[Tensor, "3 i j k"]:
        """Where these voxels of a result of `shape` come from, by the affine part alone [voxels of the source]."""
        matrices, shifts = _affines([self], shape)
        return torch.einsum("ab,bijk->aijk", matrices[0].to(points), points) + shifts[0].to(points)[:, None, None, None]

    def _velocity(self, shape: Shape, device: torch.device) -> Float[Tensor, "3 i2 j2 k2"]:
        """At a quarter of the resolution [voxels of the full one]."""
        return self.elastic_mm * smooth_noise(
            _quarter(shape), cell_mm=self.cell_mm / 4, seed=self.seed, device=device, channels=3
        )

    def _matrix(self) -> np.ndarray:
        a, b, c = (math.radians(angle) for angle in self.rotation_deg)
        about_i = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
        about_j = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
        about_k = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
        mirror = np.diag([-1.0 if self.mirror else 1.0, 1.0, 1.0])
        return np.asarray(about_k @ about_j @ about_i @ np.diag(self.scale) @ mirror)


def deformed_indices(
    deformations: Sequence[Deformation], shape: Shape, *, device: torch.device
) -> Float[Tensor, "b 3 i j k"]:
    """As `Deformation.index`, for a batch: a GPU waits less for many small kernels."""
    matrices, shifts = _affines(deformations, shape)
    here = identity(shape, device=device)
    place = torch.einsum("nab,bijk->naijk", matrices.to(device), here) + shifts.to(device)[:, :, None, None, None]
    elastic = [n for n, d in enumerate(deformations) if d.elastic_mm]
    if elastic:
        velocity = torch.stack([deformations[n]._velocity(shape, device) for n in elastic])
        place[elastic] += _flow(velocity, shape)
    return place


def _affines(deformations: Sequence[Deformation], shape: Shape) -> tuple[Float[Tensor, "n 3 3"], Float[Tensor, "n 3"]]:
    """From the result to the source, about the middle of the volume."""
    centre = (torch.tensor(shape, dtype=torch.float32) - 1) / 2
    matrices = torch.tensor(np.stack([np.linalg.inv(d._matrix()) for d in deformations]), dtype=torch.float32)
    shifts = centre - torch.einsum("nab,nb->na", matrices, centre + torch.tensor([d.shift_mm for d in deformations]))
    return matrices, shifts


def _flow(velocity: Float[Tensor, "b 3 i2 j2 k2"], shape: Shape) -> Float[Tensor, "b 3 i j k"]:
    """The displacement [voxels] of a stationary velocity field, by scaling and squaring."""
    coarse = _quarter(shape)
    device = velocity.device
    step = torch.tensor([a / b for a, b in zip(coarse, shape, strict=True)], device=device).view(3, 1, 1, 1)
    flow = velocity * step / 2**_SQUARINGS
    here = identity(coarse, device=device)
    for _ in range(_SQUARINGS):
        flow = flow + look_up_each(flow, here + flow)
    return resize((flow / step).flatten(0, 1), shape).unflatten(0, (-1, 3))


def _quarter(shape: Shape) -> Shape:
    i, j, k = (max(8, n // 4) for n in shape)
    return i, j, k
