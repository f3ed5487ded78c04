"""Tiled inference: the logits of one pass in a fraction of its memory."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from insula.errors import Unavailable, UsageError
from insula.models import UNet

__all__ = ["tiled_logits", "why_whole"]


def why_whole(model: UNet) -> str | None:
    """Returns why a model cannot be computed in tiles; None if it can."""
    if any(isinstance(module, nn.GroupNorm) for module in (*model.encoders[0].modules(), *model.decoders[0].modules())):
        return "with a normalisation over the whole volume"
    if any(
        isinstance(module, nn.Conv3d) and module.kernel_size != module.stride for module in model.downs[0].modules()
    ):
        return "whose first down-sampling looks beyond its own voxels"
    return None


def tiled_logits(model: UNet, image: Float[Tensor, "1 1 i j k"], *, tile: int) -> Float[Tensor, "1 c i j k"]:
    """Compute full-resolution features slab by slab along i, and all deeper features in one piece.

    A sliding window sees less context in each window and blends predictions that disagree. This computes the same sums
    as one pass: only local layers are cut, and each slab includes the neighbouring voxels its layers need. What remains
    is the rounding of sums in another order: below 1e-4 in probability in float32, 2e-2 in bfloat16.

    Args:
        model: in evaluation mode, with batch normalisation (or none) at full resolution.
        image: the whole volume.
        tile: slab thickness [voxels], even.

    Raises:
        UsageError: the thickness is odd, or the model cannot halve the volume's size.
        Unavailable: tiles would change the model's output (`why_whole`).
    """
    if tile < 2 or tile % 2:
        raise UsageError("tile", tile, "is not an even number of voxels", "use 16 or 32")
    if reason := why_whole(model):
        raise Unavailable(
            "the model", reason, "cannot be cut into tiles", "leave `low_memory` out, or use another model"
        )
    model.check_size(image)
    size, halo = image.shape[2], model.halo
    slabs = [(start, min(start + tile, size)) for start in range(0, size, tile)]

    def features(start: int, stop: int) -> tuple[Tensor, int]:
        first, last = max(0, start - halo), min(size, stop + halo)
        return model.shallow(image[:, :, first:last]), first

    halves = []
    for start, stop in slabs:
        skip, first = features(start, stop)
        halves.append(model.enter(skip[:, :, start - first : stop - first]))
    deep = model.deep(torch.cat(halves, dim=2))
    del halves
    pieces = []
    for start, stop in slabs:
        skip, first = features(start, stop)
        last = first + skip.shape[2]
        logits = model.merge(skip, deep[:, :, first // 2 : last // 2])
        pieces.append(logits[:, :, start - first : stop - first])
    return torch.cat(pieces, dim=2)
