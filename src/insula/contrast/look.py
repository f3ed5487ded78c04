"""What the small networks see: means, grain and detail at 4 mm, in the box that the lesion network sees."""

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
_REST = 1.0  # offset of the grain before its logarithm, in hundredths of the image's width


def look_at(scan: Scan, prepared: Prepared, config: PrepareConfig) -> Float[Tensor, "11 48 56 44"]:
    """Return the small networks' input for a scan, whatever the lesion network's settings.

    Args:
        scan: as it was read.
        prepared: the scan as prepared for the lesion network.
        config: settings of that preparation; if they are not the standard ones, the scan is prepared again at 2 mm.
    """
    if config == _STANDARD:
        return coarse(prepared.image)
    return _look(prepare(scan, _AT_2MM).image)


def coarse(image: Float[Tensor, "1 1 i j k"]) -> Float[Tensor, "11 i4 j4 k4"]:
    """Return the small networks' input for an image prepared at 1 mm.

    Returns:
        Channel 0: the mean over 4 mm. Channel 1: the logarithm of the spread of the 2 mm means within 4 mm. Channels 2
        to 8: the logarithm of the part of that spread along k, j, jk, i, ik, ij and ijk (the details of a Haar
        transform); movement disturbs directions unequally, noise all alike. Channels 9 and 10: the logarithm of how far
        the brightest and the darkest of the 2 mm means lie from channel 0; a vessel is bright, and small beside 4 mm.
        The kind network sees channels 0, 1, 9 and 10.
    """
    return _look(functional.avg_pool3d(image, 2))


def coarse_of_2mm(image: Float[Tensor, "i j k"]) -> Float[Tensor, "11 i2 j2 k2"]:
    """Return the small networks' input for an image at 2 mm that has not been normalised yet."""
    return _look(normalised(image, _STANDARD)[None, None])


def _look(image: Float[Tensor, "1 1 i j k"]) -> Float[Tensor, "11 i2 j2 k2"]:
    mean = functional.avg_pool3d(image, 2)
    spread = (functional.avg_pool3d(image**2, 2) - mean**2).clamp_min(0).sqrt()
    details = functional.conv3d(image, _details().to(image), stride=2).abs()
    above = functional.max_pool3d(image, 2) - mean
    below = mean + functional.max_pool3d(-image, 2)
    measured = torch.cat([spread, details, above, below], dim=1).clamp_min(0)
    return torch.cat([mean / 2, (_REST + 100 * measured).log() / 3], dim=1)[0]


def _details() -> Float[Tensor, "7 1 2 2 2"]:
    """Return the seven filters of a Haar transform that measure detail, along k, j, jk, i, ik, ij and ijk."""
    pairs = torch.tensor([[0.5, 0.5], [0.5, -0.5]])
    return torch.einsum("ai,bj,ck->abcijk", pairs, pairs, pairs).reshape(8, 1, 2, 2, 2)[1:]
