"""The same logits in a fraction of the memory."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from insula.errors import Unavailable, UsageError
from insula.models import UNet

__all__ = ["tiled_logits", "why_whole"]


def why_whole(model: UNet) -> str | None:
    """What keeps a model from being computed in tiles; None if nothing does."""
    if any(isinstance(m, nn.GroupNorm) for m in (*model.encoders[0].modules(), *model.decoders[0].modules())):
        return "with a normalisation over the whole volume"
    if any(isinstance(m, nn.Conv3d) and m.kernel_size != m.stride for m in model.downs[0].modules()):
        return "whose first down-sampling looks beyond its own voxels"
    return None


def tiled_logits(model: UNet, image: Float[Tensor, "1 1 i j k"], *, tile: int) -> Float[Tensor, "1 c i j k"]:
    """Compute full-resolution features slab by slab along i, everything deeper in one piece.

    A sliding window sees less context in each window and blends what disagrees; this computes the very same sums
    as one pass, because only local layers are cut and each slab brings the neighbours its layers look at. What is
    left is the rounding of differently ordered sums: below 1e-4 in probability in float32, 2e-2 in bfloat16.

    Args:
        model: in evaluation mode, with batch normalisation (or none) at full resolution.
        image: the whole volume.
        tile: slab thickness [voxels], even.

    Raises:
        UsageError: an odd thickness, or a size the model cannot halve.
        Unavailable: tiles would change the model's answer (`why_whole`).
    """
    if tile < 2 or tile % 2:
        raise UsageError("tile", tile, "is not an even number of voxels", "use 16 or 32")
    if reason := why_whole(model):
        raise Unavailable(
            "the model", reason, "cannot be cut into tiles", "leave --low-memory out, or use another model"
        )
    model.check_size(image)
    size, halo = image.shape[2], model.halo
    slabs = [(start, min(start + tile, size)) for start in range(0, size, tile)]

    def features(start: int, stop: int) -> tuple[Tensor, int]:
        a, b = max(0, start - halo), min(size, stop + halo)
        return model.shallow(image[:, :, a:b]), a

    halves = []
    for start, stop in slabs:
        skip, a = features(start, stop)
        halves.append(model.enter(skip[:, :, start - a : stop - a]))
    deep = model.deep(torch.cat(halves, dim=2))
    del halves
    out = []
    for start, stop in slabs:
        skip, a = features(start, stop)
        b = a + skip.shape[2]
        logits = model.merge(skip, deep[:, :, a // 2 : b // 2])
        out.append(logits[:, :, start - a : stop - a])
    return torch.cat(out, dim=2)
