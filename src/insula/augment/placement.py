"""Placement of a lesion's outline in a head."""

from __future__ import annotations

import numpy as np

from insula.augment.original import Original
from insula.simulate import Outline, Tissue
from insula.simulate.anatomy import BRAIN

__all__ = ["place", "points_in_head"]

_CENTRE_MM = (0.0, -18.0, 10.0)  # about the middle of the brain in MNI millimetres, so that scaling keeps places
_TRIES = 4  # placements that are tried for an outline; the best is taken
_GOOD = 0.97  # share of an outline in brain that needs no further try
_DEEP = (Tissue.DEEP_GREY, Tissue.DEEP_GREY, Tissue.WHITE, Tissue.BRAINSTEM)


def place(rng: np.random.Generator, host: Original, outline: Outline, *, deep: bool) -> np.ndarray:
    """Place an outline in a head: where it was drawn, jittered, on either side; ovoids go deep.

    The best of a few tries is taken, because an expert's outline lies in the brain and leaves out its ventricles.

    Returns:
        4x4: voxel of the head -> voxel of the outline.
    """
    best, most = np.eye(4), -1.0
    for _ in range(_TRIES):
        matrix = _deep_place(rng, host, outline) if deep else _atlas_place(rng, host, outline)
        share = _share_in_brain(host, outline, matrix)
        if share > most:
            best, most = matrix, share
        if most >= _GOOD:
            break
    return best


def _atlas_place(rng: np.random.Generator, host: Original, outline: Outline) -> np.ndarray:
    jitter = np.eye(4)
    jitter[:3, :3] *= rng.uniform(0.85, 1.25)  # above 1 the lesion comes out smaller
    jitter[:3, 3] = rng.normal(0, 4, 3)
    if rng.random() < 0.5:
        jitter = np.diag([-1.0, 1.0, 1.0, 1.0]) @ jitter
    centre = np.eye(4)
    centre[:3, 3] = _CENTRE_MM
    origin = np.eye(4)
    origin[:3, 3] = -np.array(outline.origin_mm)
    return origin @ centre @ jitter @ np.linalg.inv(centre) @ host.to_atlas


def _deep_place(rng: np.random.Generator, host: Original, outline: Outline) -> np.ndarray:
    pools = [host.places[kind] for kind in _DEEP if len(host.places[kind])]
    matrix = np.eye(4)
    if pools:
        pool = pools[int(rng.integers(len(pools)))]
        matrix[:3, 3] = -np.array(outline.origin_mm) - pool[int(rng.integers(len(pool)))]
    return matrix


def points_in_head(outline: Outline, placement: np.ndarray) -> np.ndarray:
    """Return some of an outline's voxels [n 3, voxels of the head]; a 4x4 placement maps the head to the outline."""
    back = np.linalg.inv(placement)
    points: np.ndarray = outline.points @ back[:3, :3].T + back[:3, 3]
    return points


def _share_in_brain(host: Original, outline: Outline, matrix: np.ndarray) -> float:
    """Return the share of an outline's sampled voxels that lies in brain and not in a ventricle."""
    voxels = np.rint(points_in_head(outline, matrix) / 2).astype(np.int64)
    inside = ((voxels >= 0) & (voxels < host.half_codes.shape)).all(1)
    codes = host.half_codes[tuple(voxels[inside].T)]
    good = (codes > BRAIN[0]) & (codes <= BRAIN[-1])  # the first of them is the ventricles
    return float(good.sum()) / max(len(voxels), 1)
