"""Tissues, and heads painted from them."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from insula.simulate.fields import blur, noise, smooth_noise

__all__ = ["BRAIN", "PARENCHYMA", "Tissue", "add_skull", "from_dlmuse", "from_freesurfer", "paint"]


class Tissue(IntEnum):
    """What a voxel of a head is made of, as far as T1w tells tissues apart."""

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


BRAIN = tuple(range(Tissue.VENTRICLE, Tissue.BRAINSTEM + 1))
"""Everything inside the skull."""
PARENCHYMA = tuple(range(Tissue.CORTEX, Tissue.BRAINSTEM + 1))
"""What can infarct."""

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
        Tissue.WHITE: [2, 41, 77, 251, 252, 253, 254, 255],
        Tissue.CORTEX: [3, 42, *range(1000, 1036), *range(2000, 2036)],
        Tissue.VENTRICLE: [4, 5, 14, 15, 43, 44, 72],
        Tissue.SULCAL_CSF: [24],
        Tissue.CEREBELLAR_WHITE: [7, 46],
        Tissue.CEREBELLAR_GREY: [8, 47],
        Tissue.BRAINSTEM: [16, 28, 60],
        Tissue.DEEP_GREY: [10, 11, 12, 13, 17, 18, 26, 49, 50, 51, 52, 53, 54, 58],
    },
    4096,
)


def from_dlmuse(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Tissues from a DLMUSE label map; unknown labels become OUTSIDE."""
    return _DLMUSE[np.clip(labels, 0, len(_DLMUSE) - 1)]


def from_freesurfer(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Tissues from a FreeSurfer or SynthSeg label map; unknown labels become OUTSIDE."""
    return _FREESURFER[np.clip(labels, 0, len(_FREESURFER) - 1)]


def add_skull(tissue: NDArray[np.uint8], *, skull_mm: float = 6.0, scalp_mm: float = 6.0) -> NDArray[np.uint8]:
    """Close a shell of CSF, skull and scalp around a brain-only tissue map at 1 mm; tissues inside stay."""
    brain = ndimage.binary_closing(np.pad(tissue > 0, 8), iterations=4)[8:-8, 8:-8, 8:-8] | (tissue > 0)
    distance = ndimage.distance_transform_edt(~brain)
    shell = np.zeros_like(tissue)
    shell[distance <= 2 + skull_mm + scalp_mm] = Tissue.SCALP
    shell[distance <= 2 + skull_mm] = Tissue.SKULL
    shell[distance <= 2] = Tissue.SULCAL_CSF
    return np.where(tissue > 0, tissue, shell)


def paint(
    tissue: UInt8[Tensor, "i j k"], rng: np.random.Generator
) -> tuple[Float[Tensor, "i j k"], dict[Tissue, float]]:
    """Give every tissue a random T1w-like intensity, a texture and soft borders.

    Args:
        tissue: codes of `Tissue` at 1 mm.
        rng: the source of chance.

    Returns:
        The image, white matter about 1, and the mean that each tissue was given.
    """
    means = {kind: float(rng.uniform(*_T1_LOOK[kind])) for kind in Tissue}
    device = tissue.device
    values = torch.tensor([means[kind] for kind in Tissue], device=device)
    spread = torch.tensor(
        [0.0 if kind == Tissue.OUTSIDE else float(rng.uniform(0.01, 0.06)) for kind in Tissue], device=device
    )
    shape = (tissue.shape[0], tissue.shape[1], tissue.shape[2])
    fine = noise(shape, seed=int(rng.integers(2**31)), device=device)
    broad = smooth_noise(shape, cell_mm=12, seed=int(rng.integers(2**31)), device=device)[0]
    code = tissue.long()
    image = values[code] + spread[code] * (0.7 * fine + 0.7 * broad)
    return blur(image, float(rng.uniform(0.5, 0.9))).clamp_min(0), means
