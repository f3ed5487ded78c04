"""A small head and a lesion's outline for tests of the simulator."""

from __future__ import annotations

import numpy as np
import torch

from insula.augment import Original
from insula.simulate import Outline, Tissue
from insula.simulate.anatomy import add_skull
from insula.simulate.phantom import phantom_case, phantom_grid


def small_host(*, image: bool = True) -> Original:
    """A phantom head as a host: 64 x 72 x 64 voxels, one millimetre each as far as the simulator knows."""
    grid = phantom_grid(spacing_mm=(3.0, 3.1, 3.0), shape=(64, 72, 64))
    picture = phantom_case(grid, ()).scan.image / 1000
    brain = phantom_case(grid, (), skull=False).scan.image / 1000
    tissue = np.zeros(grid.shape, np.uint8)
    for level, kind in ((0.1, Tissue.SULCAL_CSF), (0.4, Tissue.CORTEX), (0.8, Tissue.WHITE)):
        tissue[brain > level] = kind
    i, j, k = np.indices(grid.shape)
    for side in (25, 39):
        tissue[((i - side) / 3) ** 2 + ((j - 38) / 8) ** 2 + ((k - 34) / 4) ** 2 <= 1] = Tissue.VENTRICLE
    picture[tissue == Tissue.VENTRICLE] = 0.22
    return Original.lesion_free(
        "phantom",
        torch.from_numpy(picture) if image else None,
        torch.from_numpy(add_skull(tissue, skull_mm=2, scalp_mm=2)),
        np.diag([3.0, 3.1, 3.0, 1.0]) + np.array([[0, 0, 0, -94.5], [0, 0, 0, -128], [0, 0, 0, -84.5], [0, 0, 0, 0]]),
        skull=True,
    )


def ball(radius: float, size: int = 48) -> torch.Tensor:
    """1 inside a ball in the middle of a cube."""
    place = torch.stack(torch.meshgrid(*[torch.arange(size) - size / 2] * 3, indexing="ij"))
    return (place.square().sum(0).sqrt() < radius).float()


def ball_outline(radius_mm: float = 20.0, centre_mm: tuple[float, float, float] = (-38.0, -16.0, 22.0)) -> Outline:
    """A ball in the left hemisphere, in atlas millimetres."""
    size = 2 * int(radius_mm) + 8
    x, y, z = (c - size / 2 for c in centre_mm)
    return Outline(name="ball", voxels=ball(radius_mm, size).to(torch.uint8), origin_mm=(x, y, z))
