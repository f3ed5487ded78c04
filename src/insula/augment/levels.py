"""Intensity levels of an image's tissues."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from insula.simulate import Tissue

__all__ = ["Levels", "find_levels", "levels_of_tissues", "relative"]

_LEAST = 50
_STEP = 3  # every third voxel along each axis is enough
_OF_FOREGROUND = {"csf": 0.05, "grey": 0.40, "white": 0.80}


class Levels(NamedTuple):
    """Levels of tissues, rough by design: good enough to tell how strong a noise or how dark a cavity is."""

    air: float
    """Level of air, on the image's own scale."""
    width: float
    """Difference between white matter and air, on the image's own scale."""
    csf: float
    """Level of CSF, on a scale where air is 0 and white matter 1."""
    grey: float
    """Level of grey matter, on that scale."""


def find_levels(image: Float[Tensor, "i j k"]) -> Levels:
    """Estimate the levels of a whole head of any scale, from quantiles of what is not air."""
    values = image[::_STEP, ::_STEP, ::_STEP].float().flatten().sort().values
    low, high = values[0], values[int(0.995 * (len(values) - 1))]
    start = min(int((values <= low + 0.15 * (high - low)).sum()), len(values) - 1)
    chosen = [start + int(share * (len(values) - 1 - start)) for share in _OF_FOREGROUND.values()]
    air, csf, grey, white = values[[0, *chosen]].tolist()
    width = max(white - air, 1e-6)
    return Levels(air=air, width=width, csf=(csf - air) / width, grey=(grey - air) / width)


def levels_of_tissues(image: Float[Tensor, "i j k"], tissue: UInt8[Tensor, "i j k"]) -> Levels:
    """Measure the levels of a head whose tissues are known: medians, and the darkest fifth of the ventricles.

    Small ventricles are blurred with their surroundings, so their median is not that of CSF. A tissue with fewer than
    fifty voxels in the sample gets its level from `find_levels`.
    """
    values, codes = (volume[::2, ::2, ::2] for volume in (image.float(), tissue))
    rough = find_levels(image)

    def level(kind: Tissue, otherwise: float, *, rank: float = 0.5) -> float:
        intensities = values[codes == kind].sort().values
        if intensities.numel() < _LEAST:
            return otherwise * rough.width + rough.air
        return float(intensities[int(rank * (intensities.numel() - 1))])

    air = min(rough.air, float(torch.quantile(values.flatten()[::7], 0.01)))
    width = max(level(Tissue.WHITE, 1.0) - air, 1e-6)
    csf = (level(Tissue.VENTRICLE, rough.csf, rank=0.2) - air) / width
    grey = (level(Tissue.CORTEX, rough.grey) - air) / width
    return Levels(air=air, width=width, csf=min(csf, 0.6), grey=max(min(grey, 0.95), csf + 0.05))


def relative(image: Float[Tensor, "i j k"], levels: Levels) -> Float[Tensor, "i j k"]:
    """Rescale an image of any scale so that air is 0 and white matter about 1."""
    return ((image.float() - levels.air) / levels.width).clamp_min(0)
