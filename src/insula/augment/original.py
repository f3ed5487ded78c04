"""A case before anything happens to it, and what augmentation asks of it each time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from insula.augment.levels import Levels, find_levels, relative
from insula.augment.plan import Augmentation
from insula.augment.strip import CELL, soft_brain
from insula.simulate.fields import look_up, noise
from insula.simulate.scanner import ScannerLook, log_bias, spread

__all__ = ["Original"]

_COARSE = 8  # every eighth voxel along each axis is enough to normalise by


@dataclass(frozen=True, eq=False)
class Original:
    """A case; what is measured of it is measured once, when it is first asked for."""

    image: Float[Tensor, "i j k"]
    """Any scale."""
    mask: Bool[Tensor, "i j k"]
    """The truth."""

    @cached_property
    def levels(self) -> Levels:
        """Of the image's tissues."""
        return find_levels(self.image)

    @cached_property
    def _brain(self) -> UInt8[Tensor, "i2 j2 k2"]:
        return (255 * soft_brain(relative(self.image, self.levels))).to(torch.uint8)

    def brain(self, index: Float[Tensor, "3 i j k"]) -> Bool[Tensor, "i j k"]:
        """Whether brain is at these places [voxels of the image]."""
        return look_up(self._brain[None], (index - (CELL - 1) / 2) / CELL)[0] > 255 / 2

    def sample(self, plan: Augmentation) -> Float[Tensor, " n"]:
        """Sorted intensities of the whole head as `augment` would show it, on the CPU; air 0, white matter about 1.

        From these a crop can be normalised as its head would be. The skull strip, contrast, bias field, thick slices and
        noise are in it; point spread and what went wrong in the scan change these intensities little, a graft and a
        deformation less.
        """
        look = plan.scanner or ScannerLook()
        thick = look.slice_axis if look.slice_mm > 1 else None
        i, j, k = (slice(None, None, 1 if axis == thick else _COARSE) for axis in range(3))
        x = relative(self.image[i, j, k], self.levels).cpu()
        box = (self.image.shape[0], self.image.shape[1], self.image.shape[2])
        places = tuple(torch.arange(n, dtype=torch.float32)[part] for n, part in zip(box, (i, j, k), strict=True))
        if plan.strip:
            x = x * self.brain(torch.stack(torch.meshgrid(*places, indexing="ij")).to(self.image.device)).cpu()
        x = x**look.gamma * torch.exp(log_bias(look, box, (places[0], places[1], places[2])))
        if thick is not None:
            rows = spread(box[thick], look, thick, x.device)[::_COARSE]
            x = torch.tensordot(rows, x.movedim(thick, 0), 1)
        a, b = noise((2, *x.shape), seed=look.seed + 1, device=x.device)
        return torch.sqrt((x + look.noise * a) ** 2 + (look.noise * b) ** 2).flatten().sort().values
