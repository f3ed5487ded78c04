"""A lesion's outline in a brain that it was not drawn on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from insula.augment.levels import Levels
from insula.simulate import Deformation, LesionLook, insert_lesion
from insula.simulate.fields import blur_wide

__all__ = ["Graft", "graft"]

_LEAST_VOXELS = 5
_TISSUE = 0.25, 1.25  # of the way from CSF to white matter: what can infarct
_CHRONIC = 0.6

Volume = Float[Tensor, "i j k"]


@dataclass(frozen=True, kw_only=True)
class Graft:
    """Whose outline, where it goes, what it looks like; as numbers."""

    donor: int
    """Which of the donors."""
    placement: Deformation
    """From the donor's box to this one; its affine part alone is used, as the case that gets it is deformed anyway."""
    look: LesionLook
    """How the lesion appears; the donor's own intensities are not used."""

    @classmethod
    def sample(cls, rng: np.random.Generator, *, donors: int) -> Graft:
        """Draw one of `donors` outlines, moved a little, acute or chronic.

        It stays on its side, where a crop looks for it; the deformation of the case exchanges left and right.
        """
        phase: Literal["acute", "chronic"] = "chronic" if rng.random() < _CHRONIC else "acute"
        return cls(
            donor=int(rng.integers(donors)),
            placement=replace(Deformation.sample(rng), elastic_mm=0.0, mirror=False),
            look=LesionLook.sample(rng, phase=phase),
        )


def graft(
    image: Volume, truth: Volume, outline: Bool[Tensor, "i j k"], plan: Graft, levels: Levels
) -> tuple[Volume, Volume]:
    """Put an outline's lesion where this head has brain.

    Only tissue can infarct: voxels that are too dark, too bright or lie in thin shells (scalp, dura) stay, and a
    lesion of under five voxels is left out.

    Args:
        image: air 0, white matter 1.
        truth: 0 or 1.
        outline: where the lesion would be, on the image's grid.
        plan: what it looks like.
        levels: this image's tissues.

    Returns:
        The image and its new truth.
    """
    low, high = (levels.csf + share * (1 - levels.csf) for share in _TISSUE)
    tissue = (image > low) & (image < high)
    deep = blur_wide(tissue.float(), 4.0) > 0.6  # most of what surrounds it is tissue: not scalp
    lesion = outline & tissue & deep & (truth < 0.5)
    if int(lesion.sum()) < _LEAST_VOXELS:
        return image, truth
    changed = insert_lesion(image, lesion.float(), plan.look, csf=levels.csf, grey=levels.grey)
    return changed, torch.maximum(truth, lesion.float())
