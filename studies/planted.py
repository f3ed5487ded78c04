"""Faults planted into simulated scans, so that a study can ask whether their results are looked at first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from insula.geometry import Grid, resample
from insula.simulate import Artefacts, ScannerLook, scan_with
from insula.volume import Mask, Scan

FaultKind = Literal["contrast", "motion", "cut", "noise", "thick slices", "voxel size", "cavity", "low signal"]
FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)

_T2W = ((0, 0.04, 0.2, 0.3, 0.65, 1, 1.4), (0, 0.05, 0.9, 1, 0.6, 0.35, 0.5))
_FLAIR = ((0, 0.3, 0.65, 1, 1.4), (0, 0.1, 0.9, 0.65, 0.7))
_SCALED = 1.5
_MISSING = 1 / 3


@dataclass(frozen=True, eq=False)
class Head:
    """A scan with the truth about it."""

    scan: Scan
    truth: Mask
    brain: Mask
    lost: int = 0
    """Voxels of the lesion that the scan no longer shows."""

    @property
    def white(self) -> float:
        """Intensity of white matter, about the 90th percentile of the non-zero voxels."""
        return float(np.percentile(self.scan.image[self.scan.image > 0], 90))


def plant(kind: FaultKind, head: Head, rng: np.random.Generator) -> Head:
    """The head with a fault; a contrast that is not T1w is recognised unless the scan is assumed to be T1w.

    Args:
        kind: of the fault.
        head: at 1 mm, along the patient's axes (RAS+).
        rng: the source of chance.
    """
    return _PLANTERS[kind](head, rng)


def _contrast(head: Head, rng: np.random.Generator) -> Head:
    levels = (_T2W, _FLAIR)[int(rng.integers(2))]
    return _seen(head, np.interp(head.scan.image / head.white, *levels))


def _motion(head: Head, rng: np.random.Generator) -> Head:
    a, b, c = (float(x) for x in rng.choice([-1, 1], 3) * rng.uniform(4, 9, 3))
    x, y, z = (float(x) for x in rng.choice([-1, 1], 3) * rng.uniform(3, 6, 3))
    moved = Artefacts(ghost=0.4, ghost_every=3, move_deg=(a, b, c), move_mm=(x, y, z), move_at=0.55)
    return _scanned(head, ScannerLook(artefacts=moved))


def _cut(head: Head, rng: np.random.Generator) -> Head:
    """A third of the head lies outside: at the top, the front, the back or a side."""
    axis, above = [(2, True), (1, True), (1, False), (0, True), (0, False)][int(rng.integers(5))]
    others = tuple(n for n in range(3) if n != axis)
    there = np.flatnonzero((head.brain.voxels | (head.scan.image > 0.2 * head.white)).any(others))
    thickness = round(_MISSING * (there[-1] - there[0] + 1))
    bounds = slice(0, int(there[-1]) + 1 - thickness) if above else slice(int(there[0]) + thickness, None)
    at = tuple(bounds if n == axis else slice(None) for n in range(3))
    affine = head.scan.grid.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (bounds.start or 0)
    image = np.ascontiguousarray(head.scan.image[at])
    i, j, k = image.shape
    grid = Grid((i, j, k), affine)
    truth = np.ascontiguousarray(head.truth.voxels[at])
    return Head(
        replace(head.scan, image=image, grid=grid, file=None),
        Mask(truth, grid),
        Mask(np.ascontiguousarray(head.brain.voxels[at]), grid),
        int(head.truth.voxels.sum() - truth.sum()),
    )


def _noise(head: Head, rng: np.random.Generator) -> Head:
    return _scanned(head, ScannerLook(noise=float(rng.uniform(0.12, 0.22)), seed=int(rng.integers(2**31))))


def _thick(head: Head, rng: np.random.Generator) -> Head:
    old, thick_mm = head.scan.grid, float(rng.uniform(5, 6))
    i, j, k = old.shape
    factor = thick_mm / old.spacing_mm[2]
    grid = Grid((i, j, round(k / factor)), old.affine @ np.diag([1, 1, factor, 1]))
    image = np.clip(resample(head.scan.image, old, grid), 0, None)
    truth, brain = (
        Mask(resample(mask.voxels.astype(np.float32), old, grid) > 0.5, grid) for mask in (head.truth, head.brain)
    )
    return Head(replace(head.scan, image=image, grid=grid, file=None), truth, brain)


def _voxel_size(head: Head, rng: np.random.Generator) -> Head:
    """The header states voxels half as large again."""
    grid = Grid(head.scan.grid.shape, np.diag([_SCALED, _SCALED, _SCALED, 1]) @ head.scan.grid.affine)
    truth, brain = Mask(head.truth.voxels, grid), Mask(head.brain.voxels, grid)
    return Head(replace(head.scan, grid=grid, file=None), truth, brain)


def _cavity(head: Head, rng: np.random.Generator) -> Head:
    """A resection: an ellipsoid of fluid at the brain's surface, apart from the lesion."""
    brain, truth = head.brain.voxels, head.truth.voxels
    shell = brain & ~ndimage.binary_erosion(brain, iterations=12) & ~truth
    places = np.argwhere(shell)
    centre, radii_mm = places[int(rng.integers(len(places)))], rng.uniform(12, 22, 3)
    i, j, k = np.ogrid[tuple(slice(n) for n in brain.shape)]
    distance = sum(
        ((place - middle) / radius) ** 2 for place, middle, radius in zip((i, j, k), centre, radii_mm, strict=True)
    )
    hollow = ndimage.gaussian_filter(((distance < 1) & brain & ~truth).astype(np.float32), 0.7)
    return _seen(head, (head.scan.image / head.white) * (1 - hollow) + 0.25 * hollow)


def _low_signal(head: Head, rng: np.random.Generator) -> Head:
    """Far from the coil: strong shading, noise, and few grey levels."""
    look = ScannerLook(bias=0.7, noise=0.08, blur_mm=1.2, seed=int(rng.integers(2**31)))
    scanned = _scanned(head, look)
    return _seen(scanned, np.round(scanned.scan.image / scanned.white * 8) / 8)


def _scanned(head: Head, look: ScannerLook) -> Head:
    image = torch.from_numpy(np.array(head.scan.image, np.float32, order="C"))  # a scan is read-only
    return _seen(head, scan_with(image, look, white=head.white).numpy())


def _seen(head: Head, image: NDArray[np.floating]) -> Head:
    """The head with another image, in units of white matter."""
    return replace(head, scan=replace(head.scan, image=(image * head.white).astype(np.float32), file=None))


_PLANTERS: dict[FaultKind, Callable[[Head, np.random.Generator], Head]] = {
    "contrast": _contrast,
    "motion": _motion,
    "cut": _cut,
    "noise": _noise,
    "thick slices": _thick,
    "voxel size": _voxel_size,
    "cavity": _cavity,
    "low signal": _low_signal,
}
