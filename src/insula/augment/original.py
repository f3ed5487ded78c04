"""A case before anything happens to it, and what augmentation asks of it each time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16, UInt8
from torch import Tensor

from insula.augment.levels import Levels, find_levels, relative
from insula.augment.plan import Augmentation
from insula.augment.strip import CELL, soft_brain
from insula.geometry import label_components
from insula.simulate.fields import look_up_each, put
from insula.simulate.scanner import ScannerLook, ScanNumbers, log_bias, scan_numbers, spreads
from insula.types import Shape

__all__ = ["Original", "bare", "brain_at"]

_COARSE = 8  # every eighth voxel along each axis is enough to normalise by
_SLICES_MM = 2.5, 5.0  # of which a case's coarse look is kept; thinner and thicker ones lie between or beyond


@dataclass(frozen=True, eq=False)
class Original:
    """A case; what is measured of it is measured once, when it is first asked for."""

    image: Float[Tensor, "i j k"]
    """Any scale."""
    mask: Bool[Tensor, "i j k"]
    """The truth."""
    worked_on: torch.device | None = None
    """The device that needs it, where that is not the one it lies on: a cohort too large for a GPU lies in pinned memory."""

    @property
    def device(self) -> torch.device:
        """Where it is worked on, and where what is measured of it lies."""
        return self.worked_on or self.image.device

    @property
    def here(self) -> tuple[Float[Tensor, "i j k"], Bool[Tensor, "i j k"]]:
        """Image and truth on that device; sent there if need be, without waiting."""
        image, mask = (part.to(self.device, non_blocking=True) for part in (self.image, self.mask))
        return image, mask

    @property
    def box(self) -> Shape:
        """Voxels along each axis."""
        return self.mask.shape[0], self.mask.shape[1], self.mask.shape[2]

    @cached_property
    def levels(self) -> Levels:
        """Of the image's tissues."""
        return find_levels(self.image)

    @cached_property
    def lesion(self) -> Int16[np.ndarray, "n 3"]:
        """The truth's voxels, in the computer's memory: where a crop may look is decided there."""
        return self.mask.nonzero().to(torch.int16).cpu().numpy()

    @cached_property
    def lesions(self) -> tuple[Int16[np.ndarray, "n 3"], ...]:
        """The same, each separate lesion for itself."""
        if not len(self.lesion):
            return ()
        corner = self.lesion.min(0)
        inside = tuple((self.lesion - corner).T)
        near = np.zeros(self.lesion.max(0) - corner + 1, bool)
        near[inside] = True
        number = label_components(near)[0][inside]
        return tuple(self.lesion[number == n] for n in range(1, number.max() + 1))

    @cached_property
    def soft_brain(self) -> UInt8[Tensor, "i2 j2 k2"]:
        """On the strip's coarse grid, 255 where it is certain."""
        return (255 * soft_brain(relative(self.image.to(self.device), self.levels))).to(torch.uint8)

    @cached_property
    def _with_skull(self) -> Float[Tensor, "7 i8 j8 k8"]:
        return self._coarse(strip=False)

    @cached_property
    def _without_skull(self) -> Float[Tensor, "7 i8 j8 k8"]:
        return self._coarse(strip=True)

    def _coarse(self, *, strip: bool) -> Float[Tensor, "7 i8 j8 k8"]:
        """Every eighth voxel: as it is, and in slices of either thickness along each axis."""
        image = self.image.to(self.device)
        found = [self._lines(image, None, strip=strip)]
        for axis in range(3):
            looks = [ScannerLook(slice_mm=thick, slice_axis=axis) for thick in _SLICES_MM]
            told = scan_numbers(looks, white=[1.0, 1.0], box=self.box, shape=self.box)
            blur, slab, count = (
                put(part, self.device) for part in (told.blur, told.slab[:, axis], told.slices[:, axis])
            )
            lines = self._lines(image, axis, strip=strip).movedim(axis, 0)
            for rows in spreads(self.box[axis], blur, slab, count):
                found.append(torch.tensordot(rows[::_COARSE], lines, 1).movedim(0, axis))
        return torch.stack(found).half()

    def _lines(self, image: Tensor, axis: int | None, *, strip: bool) -> Float[Tensor, "i j k"]:
        """Every eighth voxel along each axis but one, air 0 and white matter about 1."""
        i, j, k = (slice(None, None, 1 if axis == other else _COARSE) for other in range(3))
        x = relative(image[i, j, k], self.levels)
        if strip:
            places = _places(self.box, self.device)
            index = torch.stack(torch.meshgrid(places[0][i], places[1][j], places[2][k], indexing="ij"))
            x = x * brain_at(self.soft_brain[None], index[None])[0]
        return x

    def coarse(self, plan: Augmentation) -> Float[Tensor, "i8 j8 k8"]:
        """Every eighth voxel, with a skull or without, in slices as thick as the plan has them, or about."""
        look, (thin, thick) = plan.scanner or ScannerLook(), _SLICES_MM
        held = self._without_skull if plan.strip else self._with_skull
        if look.slice_mm <= 1:
            return held[0].float()
        first = 1 + 2 * look.slice_axis
        if look.slice_mm < thin:
            ends, share = (0, first), (look.slice_mm - 1) / (thin - 1)
        else:
            ends, share = (first, first + 1), (look.slice_mm - thin) / (thick - thin)
        return torch.lerp(held[ends[0]].float(), held[ends[1]].float(), share)


def bare(coarse: Float[Tensor, "b i8 j8 k8"], scans: ScanNumbers[Tensor], box: Shape) -> Float[Tensor, "b i8 j8 k8"]:
    """Coarse heads as their scanners show them, without noise."""
    places = [along_it[None, ::_COARSE] for along_it in _places(box, coarse.device)]
    gamma = scans.level[:, 1, None, None, None]
    return coarse**gamma * torch.exp(log_bias(scans, box, places))


def brain_at(soft: Float[Tensor, "b i2 j2 k2"], index: Float[Tensor, "b 3 i j k"]) -> Bool[Tensor, "b i j k"]:
    """Whether there is brain at these places [voxels of the image], from `Original.soft_brain`."""
    return look_up_each(soft[:, None], (index - (CELL - 1) / 2) / CELL)[:, 0] > 255 / 2


def _places(box: Shape, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    i, j, k = (torch.arange(n, dtype=torch.float32, device=device) for n in box)
    return i, j, k
