"""What an infarct does to a T1w image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from insula.simulate.fields import blur_each, blur_wide, gradient, node_counts, noise, put
from insula.types import Shape

__all__ = ["LesionLook", "infarct", "insert_lesion", "look_numbers", "pull", "uneven_nodes"]

_UNEVEN_MM = 5.0  # how far apart what is uneven inside varies
_DEPTH_MM = 3.0  # over which a large lesion goes from rim to core
_CORE_CELLS = 5  # of 2 mm: where a voxel's core is looked for

Volume = Float[Tensor, "i j k"]
Volumes = Float[Tensor, "b i j k"]


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
    shape, device = (image.shape[0], image.shape[1], image.shape[2]), image.device
    numbers = put(look_numbers([look], csf=[csf], grey=[grey]), device)
    nodes, grain = uneven_nodes(shape, look, device), noise(shape, seed=look.seed + 1, device=device)
    return infarct(image[None], lesion[None], numbers, nodes[None], grain[None])[0]


def look_numbers(
    looks: Sequence[LesionLook | None], *, csf: Sequence[float], grey: Sequence[float]
) -> Float[np.ndarray, "b 6"]:
    """What `infarct` needs of each look; where there is none, what changes nothing."""
    return np.array([
        (1.0, 1.0, 0.0, 2.0, 0.0, 0.0)
        if look is None else
        (look.border_mm, look.tissue_factor, look.patchiness, look.cavity_depth,
         dark + look.cavity_level * (light - dark), 0.3 * look.patchiness * light)
        for look, dark, light in zip(looks, csf, grey, strict=True)
    ])  # fmt: skip


def uneven_nodes(shape: Shape, look: LesionLook, device: torch.device) -> Float[Tensor, "x y z"]:
    """Noise whose interpolation is the unevenness inside."""
    return noise(node_counts(shape, _UNEVEN_MM), seed=look.seed, device=device)


def infarct(
    images: Volumes, lesions: Volumes, numbers: Float[Tensor, "b 6"], nodes: Float[Tensor, "b x y z"], grain: Volumes
) -> Volumes:
    """The arithmetic of `insert_lesion` for a batch: the same for every look, so that it can be recorded.

    Args:
        images: intensities.
        lesions: 0 or 1.
        numbers: as `look_numbers` gives them.
        nodes: as `uneven_nodes` does.
        grain: standard normal noise.
    """
    factor, patchiness, cavity, level, ripple = numbers.T[1:, :, None, None, None]
    uneven = F.interpolate(nodes[:, None], size=images.shape[1:], mode="trilinear", align_corners=True)[:, 0]
    weight = blur_each(lesions, numbers[:, 0])
    tissue = blur_each(images, torch.ones(1, device=images.device)) * factor * (1 + patchiness * (uneven + 0.3 * grain))
    depth = _depth(lesions) + 0.08 * uneven
    hollow = torch.sigmoid((depth - cavity) / 0.04) * (cavity <= 1)  # above 1 nothing is
    tissue = hollow * torch.minimum(level + ripple * grain, images) + (1 - hollow) * tissue
    return images + weight * (tissue - images)


def _depth(lesions: Volumes) -> Volumes:
    """How deep inside each voxel lies: 0 outside, 1 in the core, of a lacune as well as of a territory.

    The blurred lesion, relative to the most of it nearby.
    """
    coarse = blur_each(F.avg_pool3d(lesions, 2), torch.full((1,), _DEPTH_MM / 2, device=lesions.device))
    core = F.max_pool3d(coarse, _CORE_CELLS, stride=1, padding=_CORE_CELLS // 2)
    return F.interpolate((coarse / core.clamp_min(0.02))[:, None], size=lesions.shape[1:], mode="trilinear")[:, 0]
