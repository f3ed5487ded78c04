"""What the small networks see: the image at 2 mm in the box that the lesion network sees, and its detail at 4 mm."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from insula.config import PrepareConfig
from insula.prepare import Prepared, normalised, prepare
from insula.volume import Scan

__all__ = ["at_2mm", "blocks_of_4mm", "details_of", "logarithm", "look_at", "look_of_2mm"]

_STANDARD = PrepareConfig()
_REST = 1.0  # offset of detail before its logarithm, in hundredths of the image's width
_AT_2MM = PrepareConfig(box=(96, 112, 88), spacing_mm=2.0)


def look_at(scan: Scan, prepared: Prepared, config: PrepareConfig) -> Float[Tensor, "96 112 88"]:
    """Return the small networks' input for a scan, whatever the lesion network's settings.

    Args:
        scan: as it was read.
        prepared: the scan as prepared for the lesion network.
        config: settings of that preparation; if they are not the standard ones, the scan is prepared again at 2 mm.
    """
    if config == _STANDARD:
        return at_2mm(prepared.image)
    return prepare(scan, _AT_2MM).image[0, 0]


def at_2mm(image: Float[Tensor, "1 1 i j k"]) -> Float[Tensor, "i2 j2 k2"]:
    """Return the small networks' input for an image prepared at 1 mm: its means over 2 mm."""
    return functional.avg_pool3d(image, 2)[0, 0]


def look_of_2mm(image: Float[Tensor, "i j k"]) -> Float[Tensor, "i j k"]:
    """Return the small networks' input for an image at 2 mm that has not been normalised yet."""
    return normalised(image, _STANDARD)


def blocks_of_4mm(look: Float[Tensor, "b i j k"]) -> Float[Tensor, "b 8 i2 j2 k2"]:
    """Return the eight voxels of 2 mm in each block of 4 mm; a last odd plane is left out."""
    b, i, j, k = (n // 2 if axis else n for axis, n in enumerate(look.shape))
    pairs = look[:, : 2 * i, : 2 * j, : 2 * k].reshape(b, i, 2, j, 2, k, 2)
    return pairs.permute(0, 2, 4, 6, 1, 3, 5).reshape(b, 8, i, j, k)


def details_of(blocks: Float[Tensor, "b 8 i j k"]) -> Float[Tensor, "b 7 i j k"]:
    """Return the details of a Haar transform within each block, along k, j, jk, i, ik, ij and ijk.

    Their squares add up to that of the block's standard deviation.
    """
    pairs = blocks.new_tensor([[0.5, 0.5], [0.5, -0.5]])
    filters = torch.einsum("ai,bj,ck->abcijk", pairs, pairs, pairs).reshape(8, 8)[1:]
    return torch.einsum("dv,bvijk->bdijk", filters, blocks)


def logarithm(detail: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return the logarithm of a detail that is not negative, 0 for none."""
    return (_REST + 100 * detail).log() / 3
