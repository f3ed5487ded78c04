"""What an infarct does to a T1w image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from insula.simulate.fields import blur, blur_wide, gradient, noise, smooth_noise

__all__ = ["LesionLook", "insert_lesion", "pull"]

Volume = Float[Tensor, "i j k"]


@dataclass(frozen=True, kw_only=True)
class LesionLook:
    """One infarct's appearance, as numbers.

    Chronic: tissue is lost. A cavity near CSF intensity, a gliotic rim darker than white matter, neighbours (the
    ventricle above all) pulled in. Acute: tissue is swollen and slightly dark, without a cavity, its border vague.
    """

    phase: Literal["acute", "chronic"]
    """Decides the ranges below."""
    tissue_factor: float
    """Intensity of the tissue that remains, relative to what was there."""
    cavity_depth: float
    """How deep inside (0 rim, 1 core) the cavity begins; above 1 there is none."""
    cavity_level: float
    """Cavity intensity, 0 as CSF, 1 as grey matter."""
    border_mm: float
    """Softness of the border (sigma of a Gaussian)."""
    patchiness: float
    """Amplitude of the unevenness inside, relative to white matter."""
    pull_mm: float
    """Largest displacement of the neighbours: positive toward the lesion, negative away."""
    seed: int
    """Of the unevenness."""

    @classmethod
    def sample(cls, rng: np.random.Generator, *, phase: Literal["acute", "chronic"]) -> LesionLook:
        """Draw one within what the phase allows."""
        seed = int(rng.integers(2**31))
        if phase == "acute":
            return cls(
                phase=phase, tissue_factor=float(rng.uniform(0.68, 0.92)), cavity_depth=2.0, cavity_level=1.0,
                border_mm=float(rng.uniform(0.6, 1.8)), patchiness=float(rng.uniform(0.0, 0.05)),
                pull_mm=-float(rng.uniform(0, 2)), seed=seed,
            )  # fmt: skip
        cavity = float(rng.uniform(0.25, 0.75)) if rng.random() < 0.8 else 2.0
        return cls(
            phase=phase, tissue_factor=float(rng.uniform(0.50, 0.88)), cavity_depth=cavity,
            cavity_level=float(rng.uniform(-0.1, 0.45)), border_mm=float(rng.uniform(0.4, 1.2)),
            patchiness=float(rng.uniform(0.0, 0.07)), pull_mm=float(rng.uniform(0, 4)), seed=seed,
        )  # fmt: skip


def pull(lesion: Volume, look: LesionLook) -> Float[Tensor, "3 i j k"]:
    """How far each voxel's source moves [voxels] when neighbours are pulled into the lesion, or pushed away.

    The gradient of the blurred lesion, scaled so that the largest step is `look.pull_mm`; zero without a lesion.
    """
    slope = gradient(blur_wide(lesion, 6.0))
    longest = slope.square().sum(0).amax().sqrt().clamp_min(1e-6)  # torch's norm over a short axis is 20 times slower
    return -look.pull_mm * slope / longest


def insert_lesion(image: Volume, lesion: Volume, look: LesionLook, *, csf: float, grey: float) -> Volume:
    """Turn healthy tissue into infarct where `lesion` is 1.

    Args:
        image: T1w intensities.
        lesion: 0 or 1.
        look: how it appears.
        csf: this scan's intensity of CSF.
        grey: and of grey matter.

    Returns:
        The image with the infarct; unchanged farther than a few `border_mm` from it.
    """
    shape = (image.shape[0], image.shape[1], image.shape[2])
    uneven = smooth_noise(shape, cell_mm=5, seed=look.seed, device=image.device)[0]
    grain = noise(shape, seed=look.seed + 1, device=image.device)
    weight = blur(lesion, look.border_mm)
    tissue = blur(image, 1.0) * look.tissue_factor * (1 + look.patchiness * (uneven + 0.3 * grain))
    if look.cavity_depth <= 1:
        depth = blur_wide(lesion, 3.0) + 0.08 * uneven
        hollow = torch.sigmoid((depth - look.cavity_depth) / 0.04)
        fluid = csf + look.cavity_level * (grey - csf) + 0.3 * look.patchiness * grey * grain
        tissue = hollow * torch.minimum(fluid, image) + (1 - hollow) * tissue
    return image + weight * (tissue - image)
