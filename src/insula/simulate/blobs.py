"""Small ellipsoids that change the intensity inside them: most of what looks like an infarct and is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["MOST_BLOBS", "NOWHERE", "Blob", "blob_numbers", "draw_blobs"]

MOST_BLOBS = 16
"""Largest number of ellipsoids in one head."""

Volumes = Float[Tensor, "b i j k"]


@dataclass(frozen=True, kw_only=True)
class Blob:
    """An ellipsoid that changes the intensity inside it: `factor` x intensity + `level`."""

    centre: tuple[float, float, float]
    """Centre [voxels of the head]."""
    radii_mm: tuple[float, float, float]
    """Half the length of each axis."""
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation vector [rad]."""
    factor: float = 0.0
    """Share of the original intensity that is kept."""
    level: float = 0.0
    """Intensity that is added; 1 is white matter."""
    softness: float = 0.1
    """Width of its soft border, as a part of its radius."""
    white: bool = True
    """Whether it shows in white matter."""
    grey: bool = True
    csf: bool = False
    ventricle: bool = False
    outside: bool = False
    """Whether it shows outside the brain."""


NOWHERE = Blob(centre=(0, 0, 0), radii_mm=(1, 1, 1), factor=1.0, white=False, grey=False)
"""An ellipsoid that changes nothing."""


def blob_numbers(heads: Sequence[Sequence[Blob]]) -> dict[str, np.ndarray]:
    """Return the numbers that `draw_blobs` needs for each head's ellipsoids, by name."""
    rows = [[*blobs, *[NOWHERE] * (MOST_BLOBS - len(blobs))] for blobs in heads]
    centre = np.array([[blob.centre for blob in row] for row in rows])
    whitening = np.array([[_whitening(blob) for blob in row] for row in rows])  # (b, n, 3, 3)
    shares = [[(blob.factor, blob.level, blob.softness) for blob in row] for row in rows]
    where = [[(blob.white, blob.grey, blob.csf, blob.ventricle, blob.outside) for blob in row] for row in rows]
    return {
        "blob_centre": centre,
        "blob_form": whitening.transpose(0, 1, 3, 2) @ whitening,
        "blob_change": np.array(shares),
        "blob_where": np.array(where, dtype=np.float64),
    }


def _whitening(blob: Blob) -> np.ndarray:
    """Return the matrix from millimetres off the centre to radii."""
    x, y, z = blob.turn
    angle = float(np.sqrt(x * x + y * y + z * z))
    turn = np.eye(3)
    if angle > 1e-9:
        skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / angle
        turn = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
    return np.diag(1 / np.array(blob.radii_mm)) @ turn.T


def draw_blobs(
    images: Volumes,
    index: Float[Tensor, "b 3 i j k"],
    numbers: Mapping[str, Tensor],
    classes: Float[Tensor, "b 5 i j k"],
) -> Volumes:
    """Draw all ellipsoids of each head at once.

    Args:
        images: air 0, white matter 1.
        index: position of each voxel in the head.
        numbers: from `blob_numbers`.
        classes: 1 in white matter, in grey matter, in CSF of sulci, in CSF of ventricles, and outside the brain.
    """
    middle = index.flatten(2).mean(2)  # centred coordinates have small squares: 32 bits are enough
    x, y, z = (index - middle[:, :, None, None, None]).unbind(1)
    places = torch.stack([x * x, y * y, z * z, x * y, x * z, y * z, x, y, z, torch.ones_like(x)], 1).flatten(2)
    form, centre = numbers["blob_form"], numbers["blob_centre"] - middle[:, None]
    along = (form @ centre[..., None])[..., 0]  # (b, n, 3)
    square = torch.cat(
        [
            form.diagonal(dim1=2, dim2=3),
            2 * form[:, :, 0, 1:],
            2 * form[:, :, 1, 2:],
            -2 * along,
            (along * centre).sum(2, keepdim=True),
        ],
        dim=2,
    )
    change = numbers["blob_change"]
    radius = (square @ places).clamp_min(0).sqrt_()  # (b, n, voxels): 1 on the surface
    share = radius.sub_(1).mul_(-1 / change[:, :, 2:]).sigmoid_().mul_(numbers["blob_where"] @ classes.flatten(2))
    total = share.sum(1, keepdim=True).clamp_min(1)
    keep, add, coverage = (
        torch.cat([change[:, :, :2].transpose(1, 2), torch.ones_like(change[:, None, :, 0])], 1)
        .matmul(share / total)
        .unflatten(2, images.shape[1:])
        .unbind(1)
    )
    return images * (1 - coverage + keep) + add
