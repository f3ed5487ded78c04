"""Phantoms of several subjects with masks, in memory and as files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from insula.adapt import Labelled
from insula.io import write_mask, write_scan
from insula.simulate import phantom_case
from insula.simulate.phantom import Sphere, phantom_grid
from insula.volume import Case, Mask

_GRID = phantom_grid(spacing_mm=(4.0, 4.0, 4.0))


def case(number: int, *, reach: float = 1.0) -> Case:
    """A head with one lesion at a place of its own; the smaller the reach, the nearer to the middle."""
    x, y, z = reach * np.random.default_rng(number).uniform((-40, -50, 0), (40, 30, 40))
    return phantom_case(_GRID, (Sphere((x, y, z), 16.0),), seed=number, noise=0.02)


def labelled(count: int, *, shuffled: bool = False, reach: float = 1.0) -> Labelled:
    """Scans of as many subjects; shuffled: each with the mask of the next."""
    masks = [(n + 1) % count if shuffled else n for n in range(count)]
    return {f"sub-{n:02d}_T1w": partial(_read, n, mask, reach) for n, mask in enumerate(masks)}


def write_files(folder: Path, count: int) -> None:
    """Write `scans/sub-N_T1w.nii.gz` and `masks/sub-N_T1w_mask.nii.gz`."""
    for name in ("scans", "masks"):
        (folder / name).mkdir()
    for n in range(count):
        own = case(n)
        write_scan(folder / "scans" / f"sub-{n:02d}_T1w.nii.gz", own.scan.image, own.scan.grid)
        write_mask(folder / "masks" / f"sub-{n:02d}_T1w_mask.nii.gz", own.truth)


def _read(number: int, mask_of: int, reach: float) -> Case:
    own, other = case(number, reach=reach), case(mask_of, reach=reach)
    return Case(scan=own.scan, truth=Mask(other.truth.voxels, own.scan.grid), subject=f"{number:02d}")
