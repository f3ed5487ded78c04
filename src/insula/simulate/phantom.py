"""An ellipsoid head whose volumes are all known from geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insula.geometry import Grid
from insula.types import Phase
from insula.volume import Case, Mask, Scan

__all__ = ["Sphere", "phantom_case", "phantom_grid"]

_CENTRE_MM = np.array([0.0, -18.0, 10.0])
_SHELLS = (  # semi-axes [mm] and T1w intensity, from the skin inward
    ((80.0, 98.0, 88.0), 0.95),
    ((74.0, 92.0, 82.0), 0.15),
    ((69.0, 86.0, 76.0), 0.25),
    ((67.0, 84.0, 74.0), 0.60),
    ((58.0, 75.0, 64.0), 1.00),
)
_BRAIN = 2  # the first shell inside the skull
_VENTRICLES = (((-12.0, -20.0, 20.0), (6.0, 28.0, 10.0)), ((12.0, -20.0, 20.0), (6.0, 28.0, 10.0)))


@dataclass(frozen=True)
class Sphere:
    """A lesion: a ball of CSF-like fluid with a thin dark rim."""

    centre_mm: tuple[float, float, float]
    radius_mm: float

    @property
    def volume_ml(self) -> float:
        """4/3 pi r^3 [ml]."""
        return float(4 / 3 * np.pi * self.radius_mm**3 / 1000)


def phantom_grid(
    *, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), shape: tuple[int, int, int] | None = None
) -> Grid:
    """Return an RAS+ grid around the phantom: 192 x 224 x 192 mm unless `shape` is given."""
    size = np.array([192, 224, 192])
    counts = tuple(int(n) for n in np.ceil(size / spacing_mm)) if shape is None else shape
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = _CENTRE_MM - (np.array(counts) - 1) / 2 * spacing_mm
    return Grid(counts, affine)


def phantom_case(
    grid: Grid | None = None,
    lesions: Sequence[Sphere] = (Sphere((-38.0, -10.0, 18.0), 14.0),),
    *,
    skull: bool = True,
    noise: float = 0.01,
    scale: float = 1000.0,
    seed: int = 0,
) -> Case:
    """Make a phantom on any grid, even oblique, coarse or left-handed: the anatomy is computed from millimetres.

    Args:
        grid: grid of the scan; 1 mm RAS+ if not given.
        lesions: balls whose truth is analytic; none makes a control.
        skull: whether the skull is shown.
        noise: Gaussian, relative to white matter.
        scale: intensity of white matter.
        seed: seed of the noise.

    Returns:
        A case of phase chronic, or control.
    """
    grid = phantom_grid() if grid is None else grid
    place = _millimetres(grid)
    image = np.zeros(grid.shape, np.float32)
    for number, (axes, level) in enumerate(_SHELLS):
        if skull or number >= _BRAIN:
            image[_ellipsoid(place, _CENTRE_MM, axes)] = level
    for centre, axes in _VENTRICLES:
        image[_ellipsoid(place, np.array(centre), axes)] = 0.22
    truth = np.zeros(grid.shape, bool)
    for ball in lesions:
        middle = np.array(ball.centre_mm)
        image[_ellipsoid(place, middle, (ball.radius_mm + 1.5,) * 3)] = 0.7
        inside = _ellipsoid(place, middle, (ball.radius_mm,) * 3)
        image[inside] = 0.24
        truth |= inside
    image += noise * np.random.default_rng(seed).standard_normal(grid.shape, dtype=np.float32)
    scan = Scan(np.clip(image, 0, None) * np.float32(scale), grid, name="phantom")
    phase: Phase = "chronic" if lesions else "control"
    return Case(scan=scan, truth=Mask(truth, grid), subject="phantom", centre="analytic", phase=phase)


def _millimetres(grid: Grid) -> tuple[NDArray[np.float64], ...]:
    i, j, k = np.ogrid[tuple(slice(n) for n in grid.shape)]
    return tuple(row[0] * i + row[1] * j + row[2] * k + row[3] for row in grid.affine[:3])


def _ellipsoid(
    place: tuple[NDArray[np.float64], ...], centre: NDArray[np.float64], axes: tuple[float, ...]
) -> NDArray[np.bool_]:
    return np.asarray(sum(((p - c) / a) ** 2 for p, c, a in zip(place, centre, axes, strict=True)) <= 1)
