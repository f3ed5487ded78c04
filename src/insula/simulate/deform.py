"""Changes of anatomy that never fold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from insula.simulate.fields import between_nodes, identity, look_up_each, node_counts, noise, put, resize
from insula.types import Shape

__all__ = [
    "Deformation",
    "affines",
    "carry_all",
    "deformed_indices",
    "indices",
    "lay_velocity",
    "most_nodes",
    "nodes_apart",
]

_SQUARINGS = 6
_NEAREST_MM, _FARTHEST_MM = 20, 48  # range of the distance between control points


@dataclass(frozen=True, kw_only=True)
class Deformation:
    """An affine map and a diffeomorphism, as numbers, to print or to replay.

    The elastic part is the flow of a stationary velocity field, so its Jacobian stays positive: tissue is stretched,
    never folded or torn.

    Source:
        Arsigny 2006, A Log-Euclidean framework for statistics on diffeomorphisms, MICCAI, section 2.
    """

    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation about i, j, k."""
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Scale along i, j, k; above 1 enlarges."""
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Shift along i, j, k."""
    mirror: bool = False
    """Whether left and right are exchanged."""
    elastic_mm: float = 0.0
    """Standard deviation of the velocity at its control points."""
    cell_mm: float = 32.0
    """Distance between control points."""
    seed: int = 0
    """Seed of the velocity field."""

    @classmethod
    def sample(cls, rng: np.random.Generator, *, strength: float = 1.0, shift_mm: float = 6.0) -> Deformation:
        """Draw a deformation.

        A `strength` of 1 covers the differences between adult heads; `shift_mm` is how far off centre they lie at most.
        """
        a, b, c = rng.uniform(-12, 12, 3) * strength
        u, v, w = np.exp(rng.normal(0, 0.06 * strength, 3))
        x, y, z = rng.uniform(-shift_mm, shift_mm, 3) * strength
        return cls(
            rotation_deg=(float(a), float(b), float(c)),
            scale=(float(u), float(v), float(w)),
            shift_mm=(float(x), float(y), float(z)),
            mirror=bool(rng.random() < 0.5),
            elastic_mm=float(rng.uniform(0, 5) * strength),
            cell_mm=float(rng.uniform(_NEAREST_MM, _FARTHEST_MM)),
            seed=int(rng.integers(2**31)),
        )

    def index(self, shape: Shape, *, device: torch.device) -> Float[Tensor, "3 i j k"]:
        """Return where each voxel of the result comes from [voxels of the source]."""
        return deformed_indices([self], shape, device=device)[0]

    def carry(self, points: Float[Tensor, "3 i j k"], shape: Shape) -> Float[Tensor, "3 i j k"]:
        """Return where these voxels of a result of `shape` come from, by the affine part alone [source voxels]."""
        return carry_all(put(affines([self], shape), points.device), points[None])[0]

    def affine(self, shape: Shape) -> np.ndarray:
        """Return the affine map from the result to the source, about the middle of the volume: (3, 4)."""
        centre = (np.array(shape) - 1) / 2
        matrix = np.linalg.inv(self._matrix())
        return np.column_stack([matrix, centre - matrix @ (centre + np.array(self.shift_mm))])

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
    """Return `Deformation.index` for a batch at once: a GPU waits less for many small kernels."""
    affine, room = put(affines(deformations, shape), device), most_nodes(deformations, shape)
    if not any(deformation.elastic_mm for deformation in deformations):
        return carry_all(affine, identity(shape, device=device)[None])
    nodes = torch.stack(
        [lay_velocity(torch.zeros(3, *room, device=device), deformation, shape) for deformation in deformations]
    )
    return indices(affine, nodes, put(nodes_apart(deformations, shape), device), shape)


def affines(deformations: Sequence[Deformation], shape: Shape) -> Float[np.ndarray, "b 3 4"]:
    """Return each affine map from the result to the source, about the middle of the volume."""
    return np.stack([deformation.affine(shape) for deformation in deformations])


def most_nodes(deformations: Sequence[Deformation], shape: Shape) -> Shape:
    """Return room for the control points of each: those of the densest that `Deformation.sample` draws, or more."""
    counts = [node_counts(_quarter(shape), mm / 4) for mm in (_NEAREST_MM, *(d.cell_mm for d in deformations))]
    i, j, k = (max(sizes) for sizes in zip(*counts, strict=True))
    return i, j, k


def nodes_apart(deformations: Sequence[Deformation], shape: Shape) -> Float[np.ndarray, "b 3"]:
    """Return the distance between control points, at a quarter of the resolution [voxels]."""
    coarse = _quarter(shape)
    counts = [node_counts(coarse, deformation.cell_mm / 4) for deformation in deformations]
    return (np.array(coarse) - 1) / (np.array(counts) - 1)


def lay_velocity(room: Float[Tensor, "3 x y z"], deformation: Deformation, shape: Shape) -> Float[Tensor, "3 x y z"]:
    """Write the velocities [voxels] at the control points into a part of a room; zeros beyond."""
    room.zero_()
    if deformation.elastic_mm:
        i, j, k = node_counts(_quarter(shape), deformation.cell_mm / 4)
        drawn = noise((3, i, j, k), seed=deformation.seed, device=room.device)
        room[:, :i, :j, :k] = deformation.elastic_mm * drawn
    return room


def indices(
    affine: Float[Tensor, "b 3 4"], nodes: Float[Tensor, "b 3 x y z"], apart: Float[Tensor, "b 3"], shape: Shape
) -> Float[Tensor, "b 3 i j k"]:
    """Return where each voxel of each result comes from, by the same arithmetic for every deformation.

    Args:
        affine: from `affines`.
        nodes: from `lay_velocity`.
        apart: from `nodes_apart`.
        shape: shape of the results.
    """
    device = affine.device
    places = [torch.arange(n, device=device)[None] for n in _quarter(shape)]
    distances = [apart[:, axis, None].repeat_interleave(3, dim=0) for axis in range(3)]
    velocity = between_nodes(nodes.flatten(0, 1), places, distances).unflatten(0, (-1, 3))
    return carry_all(affine, identity(shape, device=device)[None]) + _flow(velocity, shape)


def carry_all(affine: Float[Tensor, "b 3 4"], points: Float[Tensor, "#b 3 i j k"]) -> Float[Tensor, "b 3 i j k"]:
    """Map points by each affine; a single set of points is mapped by all of them."""
    turned = torch.matmul(affine[:, :, :3], points.flatten(2))
    return (turned + affine[:, :, 3:]).unflatten(2, points.shape[2:])


def _flow(velocity: Float[Tensor, "b 3 i2 j2 k2"], shape: Shape) -> Float[Tensor, "b 3 i j k"]:
    """Return the displacement [voxels] of a stationary velocity field, by scaling and squaring."""
    coarse = _quarter(shape)
    device = velocity.device
    step = _steps(shape, device)
    flow = velocity * step / 2**_SQUARINGS
    positions = identity(coarse, device=device)
    for _ in range(_SQUARINGS):
        flow = flow + look_up_each(flow, positions + flow)
    return resize((flow / step).flatten(0, 1), shape).unflatten(0, (-1, 3))


def _quarter(shape: Shape) -> Shape:
    i, j, k = (max(8, n // 4) for n in shape)
    return i, j, k


@cache
def _steps(shape: Shape, device: torch.device) -> Float[Tensor, "3 1 1 1"]:
    """Return the length of a full voxel, in voxels of the quarter."""
    return torch.tensor([a / b for a, b in zip(_quarter(shape), shape, strict=True)]).view(3, 1, 1, 1).to(device)
