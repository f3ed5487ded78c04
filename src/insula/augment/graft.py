"""A lesion's outline in a brain that it was not drawn on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from insula.augment.levels import Levels
from insula.simulate import Deformation, LesionLook
from insula.simulate.fields import blur_wide_each
from insula.simulate.lesion import infarct

__all__ = ["Graft", "graft", "tissue_bounds"]

_LEAST_VOXELS = 5
_TISSUE = 0.25, 1.25  # of the way from CSF to white matter: what can infarct
_CHRONIC = 0.6

Volumes = Float[Tensor, "b i j k"]


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


def tissue_bounds(levels: Levels) -> tuple[float, float]:
    """Below and above which nothing can infarct: CSF and bone, and fat."""
    low, high = (levels.csf + share * (1 - levels.csf) for share in _TISSUE)
    return low, high


def graft(
    images: Volumes, truths: Volumes, outlines: Bool[Tensor, "b i j k"], tissue: Float[Tensor, "b 2"],
    numbers: Float[Tensor, "b 6"], nodes: Float[Tensor, "b x y z"], grain: Volumes,
) -> tuple[Volumes, Volumes]:  # fmt: skip
    """Put each outline's lesion where that head has brain.

    Only tissue can infarct: voxels that are too dark, too bright or lie in thin shells (scalp, dura) stay, and a
    lesion of under five voxels is left out.

    Args:
        images: air 0, white matter 1.
        truths: 0 or 1.
        outlines: where the lesions would be, on the images' grid.
        tissue: as `tissue_bounds` gives them.
        numbers: what the lesions look like; these, nodes and grain as in `insula.simulate.lesion.infarct`.
        nodes: of their unevenness.
        grain: noise.

    Returns:
        The images and their new truths.
    """
    low, high = tissue.T[:, :, None, None, None]
    able = (images > low) & (images < high)
    deep = blur_wide_each(able.float(), 4.0) > 0.6  # most of what surrounds it is tissue: not scalp
    lesions = outlines & able & deep & (truths < 0.5)
    lesions = (lesions & (lesions.sum((1, 2, 3), keepdim=True) >= _LEAST_VOXELS)).float()
    return infarct(images, lesions, numbers, nodes, grain), torch.maximum(truths, lesions)
