"""Where a normalised image has its tissues, found without a label map."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

__all__ = ["Levels", "relative"]

_STEP = 3  # every third voxel along each axis says enough
_OF_FOREGROUND = {"csf": 0.05, "grey": 0.40, "white": 0.80}


class Levels(NamedTuple):
    """Intensities on a scale where air is 0 and white matter 1."""

    csf: float
    grey: float


def relative(image: Float[Tensor, "i j k"]) -> tuple[Float[Tensor, "i j k"], Levels]:
    """An image of any scale on one where air is 0 and white matter about 1, and its tissues there.

    Rough by design: quantiles of what is not air. It is good enough to tell how strong a noise or how dark a cavity is.
    """
    image = image.float()
    values = image[::_STEP, ::_STEP, ::_STEP].flatten().sort().values
    low, high = values[0], values[int(0.995 * (len(values) - 1))]
    start = min(int((values <= low + 0.15 * (high - low)).sum()), len(values) - 1)
    chosen = [start + int(share * (len(values) - 1 - start)) for share in _OF_FOREGROUND.values()]
    air, csf, grey, white = values[[0, *chosen]].tolist()
    width = max(white - air, 1e-6)
    return ((image - air) / width).clamp_min(0), Levels(csf=(csf - air) / width, grey=(grey - air) / width)
