"""Where an image has its tissues, found without a label map."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

__all__ = ["Levels", "find_levels", "relative"]

_STEP = 3  # every third voxel along each axis says enough
_OF_FOREGROUND = {"csf": 0.05, "grey": 0.40, "white": 0.80}


class Levels(NamedTuple):
    """Rough by design: quantiles of what is not air. Good enough to tell how strong a noise or how dark a cavity is."""

    air: float
    """On the image's own scale."""
    width: float
    """From air to white matter, on the image's own scale."""
    csf: float
    """On a scale where air is 0 and white matter 1."""
    grey: float
    """On that scale."""


def find_levels(image: Float[Tensor, "i j k"]) -> Levels:
    """Measure a whole head of any scale."""
    values = image[::_STEP, ::_STEP, ::_STEP].float().flatten().sort().values
    low, high = values[0], values[int(0.995 * (len(values) - 1))]
    start = min(int((values <= low + 0.15 * (high - low)).sum()), len(values) - 1)
    chosen = [start + int(share * (len(values) - 1 - start)) for share in _OF_FOREGROUND.values()]
    air, csf, grey, white = values[[0, *chosen]].tolist()
    width = max(white - air, 1e-6)
    return Levels(air=air, width=width, csf=(csf - air) / width, grey=(grey - air) / width)


def relative(image: Float[Tensor, "i j k"], levels: Levels) -> Float[Tensor, "i j k"]:
    """An image of any scale on one where air is 0 and white matter about 1."""
    return ((image.float() - levels.air) / levels.width).clamp_min(0)
