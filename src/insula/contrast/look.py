"""What an image is looked at by: its means and its grain at 4 mm, in the box that the lesion network sees."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from insula.config import PrepareConfig
from insula.prepare import Prepared, normalised, prepare
from insula.volume import Scan

__all__ = ["coarse", "coarse_of_2mm", "look_at"]

_STANDARD = PrepareConfig()
_AT_2MM = PrepareConfig(box=(96, 112, 88), spacing_mm=2.0)
_REST = 1.0  # added to the grain before its logarithm, in hundredths of the image's width


def look_at(scan: Scan, prepared: Prepared, config: PrepareConfig) -> Float[Tensor, "2 48 56 44"]:
    """What a scan is looked at by, whatever the lesion network wants.

    Args:
        scan: as it was read.
        prepared: of it, for the lesion network.
        config: how; where it is not the usual way, the scan is prepared once more, at 2 mm.
    """
    if config == _STANDARD:
        return coarse(prepared.image)
    return _look(prepare(scan, _AT_2MM).image)


def coarse(image: Float[Tensor, "1 1 i j k"]) -> Float[Tensor, "2 i4 j4 k4"]:
    """What a prepared image at 1 mm is looked at by: channel 0 its mean in 4 mm, channel 1 the logarithm of the spread of its 2 mm means there."""
    return _look(functional.avg_pool3d(image, 2))


def coarse_of_2mm(image: Float[Tensor, "i j k"]) -> Float[Tensor, "2 i2 j2 k2"]:
    """The same of an image at 2 mm that has yet to be normalised."""
    return _look(normalised(image, _STANDARD)[None, None])


def _look(image: Float[Tensor, "1 1 i j k"]) -> Float[Tensor, "2 i2 j2 k2"]:
    mean = functional.avg_pool3d(image, 2)
    spread = (functional.avg_pool3d(image**2, 2) - mean**2).clamp_min(0).sqrt()
    return torch.cat([mean / 2, (_REST + 100 * spread).log() / 3], dim=1)[0]
