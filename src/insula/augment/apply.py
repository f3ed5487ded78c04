"""Plans carried out on a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from insula.augment.graft import graft
from insula.augment.levels import relative
from insula.augment.plan import Augmentation
from insula.augment.strip import brain_of
from insula.simulate import Deformation, ScannerLook, scan_each
from insula.simulate.deform import deformed_indices
from insula.simulate.fields import blur, look_up_each

__all__ = ["augment"]

Volumes = Float[Tensor, "b i j k"]


def augment(
    images: Volumes, truths: Volumes, plans: Sequence[Augmentation], *, donors: Sequence[Float[Tensor, "i j k"]] = ()
) -> tuple[Volumes, Volumes]:
    """Graft, deform, strip, scan: each item by its own plan, all on the batch's device.

    Image and truth move together, in one look-up. The same plans on the same kind of device give the same result, and
    an item's result does not depend on what else is in the batch, but for rounding.

    Args:
        images: at 1 mm, any scale.
        truths: 0 or 1.
        plans: one each.
        donors: the outlines that the plans' grafts number.

    Returns:
        Images with air 0 and white matter about 1, not normalised: a scanner's image has to be measured anew. And the
        truths, 0 or 1.
    """
    pairs = [_grafted(image, truth, plan, donors) for image, truth, plan in zip(images, truths, plans, strict=True)]
    both = _deform(torch.stack(pairs), plans)  # (b, 2, i, j, k)
    x, truth = both[:, 0], (both[:, 1] > 0.5).to(both.dtype)
    for n, plan in enumerate(plans):
        if plan.strip:
            kept = brain_of(x[n]) | (blur(truth[n], 2.0) > 0.05)  # a lesion at the rim is not cut off
            x[n] = x[n] * kept
    looks = [plan.scanner or ScannerLook() for plan in plans]
    return scan_each(x, looks, white=[1.0] * len(plans)), truth


def _grafted(
    image: Float[Tensor, "i j k"], truth: Float[Tensor, "i j k"], plan: Augmentation, donors: Sequence[Tensor]
) -> Float[Tensor, "2 i j k"]:
    """The image in units of its own tissues and its truth, with a lesion more if the plan says so."""
    picture, levels = relative(image)
    if plan.graft is not None:
        outline = donors[plan.graft.donor].to(picture)
        picture, truth = graft(picture, truth, outline, plan.graft, levels)
    return torch.stack([picture, truth])


def _deform(both: Float[Tensor, "b 2 i j k"], plans: Sequence[Augmentation]) -> Float[Tensor, "b 2 i j k"]:
    if all(plan.deformation is None for plan in plans):
        return both
    shape = (both.shape[2], both.shape[3], both.shape[4])
    index = deformed_indices([plan.deformation or Deformation() for plan in plans], shape, device=both.device)
    return look_up_each(both, index)
