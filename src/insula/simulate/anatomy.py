"""Tissues: their codes in label maps, and their intensities on T1w."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "BRAIN",
    "GREY",
    "PARENCHYMA",
    "WHITE",
    "Tissue",
    "add_skull",
    "draw_palette",
    "from_dlmuse",
    "from_freesurfer",
    "trim_csf",
]


class Tissue(IntEnum):
    """Tissue of a voxel, as far as T1w can distinguish it."""

    OUTSIDE = 0
    VENTRICLE = 1
    SULCAL_CSF = 2
    CORTEX = 3
    DEEP_GREY = 4
    WHITE = 5
    CEREBELLAR_GREY = 6
    CEREBELLAR_WHITE = 7
    BRAINSTEM = 8
    SKULL = 9
    SCALP = 10
    OUTER_CSF = 11
    FACE = 12


BRAIN = tuple(range(Tissue.VENTRICLE, Tissue.BRAINSTEM + 1))
"""Tissues of the brain mask: parenchyma, ventricles and sulcal CSF, but not the CSF farther out (OUTER_CSF)."""
WHITE = (Tissue.WHITE, Tissue.CEREBELLAR_WHITE, Tissue.BRAINSTEM)
"""Tissues in which infarcts look like infarcts of white matter."""
GREY = (Tissue.CORTEX, Tissue.DEEP_GREY, Tissue.CEREBELLAR_GREY)
"""Tissues in which infarcts look like infarcts of grey matter."""
PARENCHYMA = tuple(range(Tissue.CORTEX, Tissue.BRAINSTEM + 1))
"""Tissues that can infarct."""

_T1_LOOK = {  # lowest and highest mean intensity on T1w, white matter about 1
    Tissue.OUTSIDE: (0.0, 0.04),
    Tissue.VENTRICLE: (0.08, 0.32),
    Tissue.SULCAL_CSF: (0.10, 0.40),
    Tissue.CORTEX: (0.48, 0.74),
    Tissue.DEEP_GREY: (0.60, 0.86),
    Tissue.WHITE: (0.88, 1.08),
    Tissue.CEREBELLAR_GREY: (0.46, 0.76),
    Tissue.CEREBELLAR_WHITE: (0.84, 1.06),
    Tissue.BRAINSTEM: (0.78, 1.00),
    Tissue.SKULL: (0.02, 0.35),
    Tissue.SCALP: (0.50, 1.60),
    Tissue.OUTER_CSF: (0.10, 0.40),
    Tissue.FACE: (0.05, 1.20),
}


def _table(groups: dict[Tissue, list[int]], size: int) -> NDArray[np.uint8]:
    table = np.zeros(size, np.uint8)
    for tissue, labels in groups.items():
        table[labels] = tissue
    return table


_DLMUSE = _table(
    {
        Tissue.VENTRICLE: [4, 11, 49, 50, 51, 52],
        Tissue.SULCAL_CSF: [1],
        Tissue.BRAINSTEM: [35, 61, 62],
        Tissue.CEREBELLAR_GREY: [38, 39, 71, 72, 73],
        Tissue.CEREBELLAR_WHITE: [40, 41],
        Tissue.DEEP_GREY: [23, 30, 31, 32, 36, 37, 47, 48, *range(55, 61), 75, 76],
        Tissue.WHITE: list(range(81, 96)),
        Tissue.CORTEX: list(range(100, 208)),
    },
    256,
)
_FREESURFER = _table(
    {
        Tissue.WHITE: [2, 25, 30, 41, 57, 62, 77, 85, 251, 252, 253, 254, 255],
        Tissue.CORTEX: [3, 42, *range(1000, 1036), *range(2000, 2036)],
        Tissue.VENTRICLE: [4, 5, 14, 15, 43, 44, 72, 136, 137, 163, 164],
        Tissue.SULCAL_CSF: [24],
        Tissue.CEREBELLAR_WHITE: [7, 46],
        Tissue.CEREBELLAR_GREY: [8, 47],
        Tissue.BRAINSTEM: [16, 28, 60],
        Tissue.DEEP_GREY: [10, 11, 12, 13, 17, 18, 26, 49, 50, 51, 52, 53, 54, 58],
        # SynthSeg's labels of the surroundings of the brain
        Tissue.SKULL: [511, 514, 515],
        Tissue.SCALP: [507],
        Tissue.FACE: [502, 506, 508, 509, 512, 516, 530],
    },
    4096,
)


def from_dlmuse(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the tissues of a DLMUSE label map; unknown labels become OUTSIDE."""
    return _DLMUSE[np.clip(labels, 0, len(_DLMUSE) - 1)]


def from_freesurfer(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the tissues of a FreeSurfer or SynthSeg label map; unknown labels become OUTSIDE."""
    return _FREESURFER[np.clip(labels, 0, len(_FREESURFER) - 1)]


def add_skull(tissue: NDArray[np.uint8], *, skull_mm: float = 6.0, scalp_mm: float = 6.0) -> NDArray[np.uint8]:
    """Add a shell of outer CSF, skull and scalp to a brain-only tissue map at 1 mm; tissues inside stay."""
    brain = ndimage.binary_closing(np.pad(tissue > 0, 8), iterations=4)[8:-8, 8:-8, 8:-8] | (tissue > 0)
    distance = ndimage.distance_transform_edt(~brain)
    shell = np.zeros_like(tissue)
    shell[distance <= 2 + skull_mm + scalp_mm] = Tissue.SCALP
    shell[distance <= 2 + skull_mm] = Tissue.SKULL
    shell[distance <= 2] = Tissue.OUTER_CSF
    return np.where(tissue > 0, tissue, shell)


def trim_csf(tissue: NDArray[np.uint8], *, reach_mm: float = 3.0) -> NDArray[np.uint8]:
    """Relabel CSF farther than `reach_mm` from the brain's closed surface, or below its stem, as OUTER_CSF.

    Label maps differ in how much CSF they draw: SynthSeg's fill the skull and the spinal canal, DLMUSE's follow the
    brain. A brain mask has to mean the same everywhere.

    Args:
        tissue: codes of `Tissue` at 1 mm, k upward.
        reach_mm: width of the CSF around the closed brain that belongs to it.
    """
    solid = np.isin(tissue, (Tissue.VENTRICLE, *PARENCHYMA))
    closed = ndimage.binary_closing(np.pad(solid, 8), iterations=4)[8:-8, 8:-8, 8:-8] | solid
    near = ndimage.distance_transform_edt(~closed) <= reach_mm
    lowest = int(np.flatnonzero(solid.any((0, 1)))[0]) if solid.any() else 0
    near[:, :, :lowest] = False
    return np.where((tissue == Tissue.SULCAL_CSF) & ~near, np.uint8(Tissue.OUTER_CSF), tissue)


def draw_palette(rng: np.random.Generator) -> tuple[float, ...]:
    """Draw a T1w-like mean intensity for every tissue, in the order of `Tissue`; white matter is 1."""
    means = [float(rng.uniform(*_T1_LOOK[kind])) for kind in Tissue]
    return tuple(mean / means[Tissue.WHITE] for mean in means)
