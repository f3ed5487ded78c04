"""Plans carried out on a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from insula.augment.graft import graft
from insula.augment.levels import relative
from insula.augment.original import Original
from insula.augment.plan import Augmentation
from insula.simulate import Deformation, ScannerLook, scan_each
from insula.simulate.deform import deformed_indices
from insula.simulate.fields import blur, look_up
from insula.types import Shape

__all__ = ["augment"]

Volumes = Float[Tensor, "b i j k"]


def augment(
    originals: Sequence[Original], plans: Sequence[Augmentation], *, starts: Sequence[Shape], crop: Shape,
    donors: Sequence[Bool[Tensor, "i j k"]] = (),
) -> tuple[Volumes, Volumes]:  # fmt: skip
    """Cut, deform, graft, strip, scan: each item by its own plan, all on the cases' device.

    Only the voxels of the crop are computed, read from the whole case: it turns about the crop's middle, and what comes in from
    outside the crop is real. Image and truth move together, in one look-up. The same plans on the same kind of device
    give the same result, and an item's result does not depend on what else is in the batch, but for rounding.

    Args:
        originals: whole cases at 1 mm.
        plans: one each.
        starts: the crop's first voxel in each case.
        crop: voxels of the crop along each axis; all of a case, or less.
        donors: the outlines that the plans' grafts number, on the cases' grid.

    Returns:
        Images with air 0 and white matter about 1, not normalised: see `Original.sample`. And the truths, 0 or 1.
    """
    device = originals[0].image.device
    corners = torch.tensor(starts, dtype=torch.float32, device=device)[:, :, None, None, None]
    index = deformed_indices([plan.deformation or Deformation() for plan in plans], crop, device=device) + corners
    items = []
    for original, plan, start, where in zip(originals, plans, starts, index, strict=True):
        image, truth = _cut(original, plan, start, where)
        if plan.graft is not None:
            donor = donors[plan.graft.donor]
            place = plan.graft.placement.carry(where, (donor.shape[0], donor.shape[1], donor.shape[2]))
            outline = look_up(donor[None], place)[0] > 0.5
            image, truth = graft(image, truth, outline, plan.graft, original.levels)
        if plan.strip:
            image = image * (original.brain(where) | (blur(truth, 2.0) > 0.05))  # a lesion at the rim is not cut off
        items.append((image, truth))
    images, truths = (torch.stack(parts) for parts in zip(*items, strict=True))
    looks = [plan.scanner or ScannerLook() for plan in plans]
    i, j, k = originals[0].image.shape
    return scan_each(images, looks, white=[1.0] * len(plans), box=(i, j, k), starts=starts), truths


def _cut(
    original: Original, plan: Augmentation, start: Shape, index: Float[Tensor, "3 i j k"]
) -> tuple[Float[Tensor, "i j k"], Float[Tensor, "i j k"]]:
    """The crop's image, in units of its own tissues, and its truth."""
    levels = original.levels
    if plan.deformation is None:
        window = tuple(slice(first, first + size) for first, size in zip(start, index.shape[1:], strict=True))
        return relative(original.image[window], levels), original.mask[window].float()
    image, truth = look_up(torch.stack([original.image.float() - levels.air, original.mask.float()]), index)
    return (image / levels.width).clamp_min(0), (truth > 0.5).float()
