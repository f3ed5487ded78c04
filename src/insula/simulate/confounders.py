"""Confounders, which look like an infarct and are none: drawn into heads, never into the truth.

Most are small ellipsoids: perivascular spaces, deep white matter dots, choroid plexus, cysts, cavities, tumours,
degenerating tracts. All ellipsoids of a head are computed together. Periventricular caps and bands follow the
ventricles. Wider CSF spaces are displacements (`insula.simulate.shift`).

Source:
    Ranges of signal and size as for infarcts (`insula.simulate.looks`); prevalences: Al-Holou 2013 (arachnoid cysts,
    661 of 48,417), Perez-Garcia 2021 (resection cavities); the others are estimates, drawn far more often than in life.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from insula.simulate.anatomy import Tissue
from insula.simulate.blobs import MOST_BLOBS, Blob, blob_numbers
from insula.simulate.ellipsoids import DRAWERS, Places, choose_voxel, draw_turn
from insula.simulate.fields import blur_wide_each
from insula.simulate.shift import Shift, draw_age
from insula.simulate.tract import degenerating_tract

__all__ = ["KINDS", "Confounders", "Kind", "confounder_numbers", "white_matter_disease"]

Kind = Literal[
    "perivascular",
    "dots",
    "choroid",
    "ovoids",
    "arachnoid_cyst",
    "resection",
    "tumour",
    "tract",
    "caps",
    "wide_ventricle",
    "atrophy",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
_CHANCES: dict[Kind, float] = {
    "perivascular": 0.35,
    "dots": 0.3,
    "choroid": 0.3,
    "ovoids": 0.08,
    "arachnoid_cyst": 0.05,
    "resection": 0.03,
    "tumour": 0.04,
    "tract": 0.5,
    "caps": 0.45,
    "wide_ventricle": 0.12,
    "atrophy": 0.6,
}
_FIRST = ("arachnoid_cyst", "tumour", "resection", "tract")
_TEMPORAL_MM = (46.0, 8.0, -34.0)

Volumes = Float[Tensor, "b i j k"]
"""Images of a batch of heads."""


@dataclass(frozen=True, kw_only=True)
class Confounders:
    """All confounders of one head, as numbers."""

    kinds: tuple[Kind, ...] = ()
    """Kinds that were drawn, for the record."""
    blobs: tuple[Blob, ...] = ()
    """Ellipsoids; at most `MOST_BLOBS`."""
    caps_factor: float = 1.0
    """Intensity of periventricular disease, relative to white matter; 1 for none."""
    caps_cut: float = 2.0
    """Threshold of nearness to a ventricle at which it begins: the lower, the farther it reaches."""
    shift: Shift = Shift()
    """Displacements."""

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        *,
        places: Places,
        to_atlas: np.ndarray,
        csf: float,
        rate: float = 1.0,
        lesion: tuple[float, float, float] | None = None,
        only: Kind | None = None,
    ) -> Confounders:
        """Draw the confounders of one head.

        Args:
            rng: the source of chance.
            places: voxels of each tissue in the head.
            to_atlas: 4x4, voxel of the head -> MNI millimetre.
            csf: level of this head's CSF.
            rate: factor of all chances; 0 for none.
            lesion: middle of a large infarct [voxels of the head], whose tract may degenerate; None without one.
            only: draw this kind, and no other.
        """
        drawn = rng.random(len(KINDS))
        kinds: list[Kind] = [kind for kind, chance in zip(KINDS, drawn, strict=True) if chance < rate * _CHANCES[kind]]
        if only is not None:
            kinds = [only]
        blobs: list[Blob] = []
        shift = Shift()
        factor, cut = 1.0, 2.0
        if "arachnoid_cyst" in kinds and "tumour" in kinds:  # a head has room for one push
            kinds.remove("tumour")
        # large confounders come first, so that small ones never take their room
        for kind in sorted(kinds, key=lambda drawn_kind: drawn_kind not in _FIRST):
            if kind == "caps":
                factor, cut = float(rng.uniform(0.73, 0.96)), float(rng.uniform(0.55, 1.35))
            elif kind == "atrophy":
                shift = shift._replace(atrophy_mm=draw_age(rng))
            elif kind == "wide_ventricle":
                shift = _one_wide_ventricle(rng, places, to_atlas, shift)
            elif kind == "tract":
                blobs += degenerating_tract(rng, lesion, to_atlas) if lesion is not None else []
            elif kind in ("arachnoid_cyst", "tumour"):
                blob, shift = _mass(rng, kind, places, to_atlas, csf, shift)
                blobs += blob
            else:
                blobs += DRAWERS[kind](rng, places, csf)
        return cls(kinds=tuple(kinds), blobs=tuple(blobs[:MOST_BLOBS]), caps_factor=factor, caps_cut=cut, shift=shift)


def _mass(
    rng: np.random.Generator, kind: Kind, places: Places, to_atlas: np.ndarray, csf: float, shift: Shift
) -> tuple[list[Blob], Shift]:
    """Draw a mass: a cyst displaces the cortex and replaces none of it; a tumour pushes and replaces."""
    radius = float(rng.uniform(8, 25) if kind == "arachnoid_cyst" else rng.uniform(6, 20))
    if kind == "arachnoid_cyst" and rng.random() < 0.5:  # half of them lie in the middle fossa
        side = 1.0 if rng.random() < 0.5 else -1.0
        target = np.linalg.inv(to_atlas) @ [side * _TEMPORAL_MM[0], *_TEMPORAL_MM[1:], 1.0]
        pool = places.get(Tissue.CORTEX)
        if pool is None or not len(pool):
            return [], shift
        nearest = pool[int(((pool - target[:3]) ** 2).sum(1).argmin())]
        centre: tuple[float, float, float] | None = (float(nearest[0]), float(nearest[1]), float(nearest[2]))
    else:
        centre = choose_voxel(rng, places, Tissue.CORTEX if kind == "arachnoid_cyst" else Tissue.WHITE)
    if centre is None:
        return [], shift
    cyst = kind == "arachnoid_cyst"
    level = csf * float(rng.uniform(0.9, 1.1)) if cyst else float(rng.uniform(0.30, 0.60))
    blob = Blob(
        centre=centre,
        radii_mm=(radius, radius * float(rng.uniform(0.7, 1.0)), radius * float(rng.uniform(0.7, 1.0))),
        turn=draw_turn(rng),
        level=level,
        softness=0.05 if cyst else 0.2,
        csf=True,
        ventricle=not cyst,
    )
    step = radius * 0.6 if cyst else float(rng.uniform(3, 10))
    return [blob], shift._replace(push_mm=step, push_radius_mm=radius, push_centre=centre)


def _one_wide_ventricle(rng: np.random.Generator, places: Places, to_atlas: np.ndarray, shift: Shift) -> Shift:
    """Widen one lateral ventricle, as in 5 to 12 % of healthy people."""
    pool = places.get(Tissue.VENTRICLE)
    if pool is None or not len(pool):
        return shift
    x = (to_atlas @ np.column_stack([pool, np.ones(len(pool))]).T)[0]
    side_voxels = pool[x > 4] if rng.random() < 0.5 else pool[x < -4]
    if not len(side_voxels):
        return shift
    i, j, k = (float(v) for v in side_voxels.mean(0))
    return shift._replace(side_mm=float(rng.uniform(0.5, 1.8)), side_centre=(i, j, k))


def confounder_numbers(heads: Sequence[Confounders]) -> dict[str, np.ndarray]:
    """Return the numbers that drawing the confounders needs, by name, for each head."""
    return {
        **blob_numbers([head.blobs for head in heads]),
        "caps": np.array([(head.caps_factor, head.caps_cut) for head in heads]),
        "shift": np.array([head.shift.numbers() for head in heads]),
    }


def white_matter_disease(
    images: Volumes,
    ventricle: Bool[Tensor, "b i j k"],
    white: Bool[Tensor, "b i j k"],
    noise: Volumes,
    caps: Float[Tensor, "b 2"],
) -> Volumes:
    """Draw caps and bands around the ventricles of old brains, mildly dark on T1w, on both sides.

    Args:
        images: air 0, white matter 1.
        ventricle: mask of the ventricles.
        white: mask of white matter.
        noise: coarse, of unit variance.
        caps: factor and cut of each head.
    """
    factor, cut = caps[:, :, None, None, None].unbind(1)
    near = blur_wide_each(ventricle.float(), 6.0)
    share = torch.sigmoid((4 * near + 0.3 * noise - cut) / 0.12) * white * (factor < 1)
    return images * (1 - (1 - factor) * share)
