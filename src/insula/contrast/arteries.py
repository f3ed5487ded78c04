"""The large arteries at the base of the brain, which every angiography shows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from insula.contrast.spoil import MM

__all__ = ["arteries"]

_COURSES = {
    "carotid": ([(0.38, 0.62, -0.15), (0.36, 0.55, 0.05), (0.41, 0.60, 0.15), (0.42, 0.58, 0.27)], (1.9, 2.7)),
    "middle": ([(0.42, 0.58, 0.27), (0.27, 0.60, 0.29), (0.17, 0.55, 0.33), (0.12, 0.46, 0.46)], (1.2, 1.8)),
    "anterior": ([(0.42, 0.58, 0.27), (0.49, 0.64, 0.29), (0.49, 0.76, 0.40), (0.49, 0.70, 0.60)], (0.9, 1.5)),
    "posterior": ([(0.50, 0.51, 0.25), (0.42, 0.46, 0.28), (0.38, 0.36, 0.29), (0.42, 0.20, 0.31)], (0.9, 1.5)),
    "vertebral": ([(0.42, 0.36, -0.15), (0.44, 0.38, 0.00), (0.50, 0.44, 0.10)], (1.2, 1.9)),
}
"""Points of each left artery in shares of the brain's box (left to right, back to front, below to above), and the range
of its radius [mm]; the right one mirrors it.

Source:
    The order and diameters of the arteries of the circle of Willis as in textbooks of anatomy; the places are rough.
"""
_BASILAR = [(0.50, 0.44, 0.10), (0.50, 0.49, 0.18), (0.50, 0.51, 0.25)], (1.4, 2.1)
_MISSING = 0.08
"""Share of arteries that are closed or too narrow to be seen."""
_STEP_MM = 1.0


def arteries(brain: Bool[Tensor, "i j k"], rng: np.random.Generator) -> Float[Tensor, "i j k"]:
    """Return each voxel's share of the large arteries around a brain, in voxels of `MM`."""
    inside = brain.nonzero().numpy()
    low, size = inside.min(0), np.ptp(inside, axis=0)
    courses = [(np.array(points), radii) for points, radii in (*_COURSES.values(), _BASILAR)]
    courses += [(np.array(points) * [-1, 1, 1] + [1, 0, 0], radii) for points, radii in _COURSES.values()]
    share = np.zeros(tuple(brain.shape), np.float32)
    for points, radii in courses:
        radius = float(rng.uniform(*radii)) / MM
        bent = low + size * (points + rng.normal(0, 0.012, points.shape))
        if rng.random() < _MISSING:
            continue
        for start, end in pairwise(bent):
            steps = max(2, round(float(np.linalg.norm(end - start)) * MM / _STEP_MM))
            for place in np.linspace(start, end, steps):
                _lay(share, place, radius)
    return torch.from_numpy(share)


def _lay(share: np.ndarray, place: np.ndarray, radius: float) -> None:
    """Put a ball of a radius [voxels] around a place; its rim is a voxel wide."""
    reach = int(np.ceil(radius + 1))
    middle = np.round(place).astype(int)
    first = np.maximum(middle - reach, 0)
    last = np.minimum(middle + reach + 1, share.shape)
    if (first >= last).any():
        return
    grids = np.meshgrid(*(np.arange(a, b) for a, b in zip(first, last, strict=True)), indexing="ij", sparse=True)
    away = np.sqrt(sum((grid - at) ** 2 for grid, at in zip(grids, place, strict=True)))
    window = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    share[window] = np.maximum(share[window], np.clip(radius + 0.5 - away, 0, 1))
