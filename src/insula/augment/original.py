"""A case or a lesion-free head before augmentation, with the measurements that augmentation needs each time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, Int16, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from insula.augment.levels import Levels, find_levels, levels_of_tissues, relative
from insula.augment.plan import Augmentation
from insula.augment.strip import CELL, soft_brain
from insula.geometry import label_components
from insula.simulate import ScannerLook, Tissue
from insula.simulate.anatomy import BRAIN
from insula.simulate.fields import blur_wide_each, look_up, look_up_each, put
from insula.simulate.scanner import ScanNumbers, log_bias, scan_numbers, spreads, toned
from insula.simulate.shift import toward_csf
from insula.types import Shape

__all__ = ["COARSE", "Original", "around_at", "bare", "brain_codes"]

COARSE = 8
"""Step of the coarse grid: every eighth voxel along each axis is enough to normalise by."""
_SLICES_MM = 2.5, 5.0  # slice thicknesses of the kept coarse images; others are inter- or extrapolated
_PLACES = 2000  # voxels of each tissue to choose from
_RIM_MM = 1.5  # sigma of the blur that a skull strip's border is read from
_FACE_MM, _FACE = 10.0, 0.02  # blur of the brain, and its value below which a voxel is far from the brain


@dataclass(frozen=True, eq=False)
class Original:
    """A case of a cohort, or a lesion-free head. Its measurements are made once, when they are first needed."""

    image: Float[Tensor, "i j k"] | None
    """Any scale; None for a head that is always painted."""
    mask: Bool[Tensor, "i j k"]
    """The truth; all False in a lesion-free head."""
    worked_on: torch.device | None = None
    """Device that needs the case, if it is not the one it lies on: a cohort too large for a GPU lies in pinned
    memory."""
    brain: Int8[Tensor, "i j k"] | None = None
    """1 brain, 0 not brain, -1 unknown; None if no voxel is known."""
    tissue: UInt8[Tensor, "i j k"] | None = None
    """Codes of `Tissue`, if known; otherwise they are guessed from the image, and the brain counts as unknown."""
    to_atlas: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    """4x4: voxel -> millimetre of the space that outlines lie in."""
    skull: bool = True
    """Whether the head has a skull."""
    labelled: bool = True
    """Whether `tissue`, if given, tells where the brain is."""
    name: str = ""
    """Where the case comes from."""

    @classmethod
    def lesion_free(
        cls,
        name: str,
        image: Float[Tensor, "i j k"] | None,
        tissue: UInt8[Tensor, "i j k"],
        to_atlas: NDArray[np.float64],
        *,
        skull: bool,
        labelled: bool = True,
    ) -> Original:
        """Return a lesion-free head that can receive lesions, in the training box at 1 mm: a host.

        Args:
            name: where the head comes from.
            image: T1w intensities; None if only a label map exists, and then the head is always painted.
            tissue: codes of `Tissue`.
            to_atlas: 4x4: voxel of the box -> millimetre of the space that the outlines were drawn in.
            skull: whether the head has a skull, in the image or in the label map.
            labelled: whether the tissues come from a label map; guessed ones cannot teach what is brain.
        """
        nowhere = torch.zeros((), dtype=torch.bool, device=tissue.device).expand(tissue.shape)  # takes no memory
        return cls(
            image=image, mask=nowhere, tissue=tissue, to_atlas=to_atlas, skull=skull, labelled=labelled, name=name
        )

    def to(self, device: torch.device) -> Original:
        """Copy the case to a device, without its measurements."""
        image, mask, brain, tissue = (
            None if volume is None else volume.to(device) for volume in (self.image, self.mask, self.brain, self.tissue)
        )
        assert mask is not None
        return replace(self, image=image, mask=mask, brain=brain, tissue=tissue, worked_on=None)

    @property
    def device(self) -> torch.device:
        """Device that works on the case and holds its measurements."""
        return self.worked_on or self.mask.device

    @property
    def here(self) -> tuple[Shaped[Tensor, "i j k"], Bool[Tensor, "i j k"]]:
        """Image and truth on that device; copied there if need be, without waiting."""
        mask = self.mask.to(self.device, non_blocking=True)
        return torch.zeros_like(mask) if self.image is None else self.image.to(self.device, non_blocking=True), mask

    def cut(self, window: tuple[slice, slice, slice]) -> tuple[Tensor, Tensor, Tensor]:
        """Return a part of the image, the truth and the brain, as float32 on the device that needs it."""
        image, truth = self.here
        brain = torch.full_like(truth[window], -1, dtype=torch.float32)
        if self.brain is not None:
            brain = self.brain.to(self.device, non_blocking=True)[window].float()
        return image[window].float(), truth[window].float(), brain

    @property
    def knows_brain(self) -> bool:
        """Whether the tissues can teach where the brain is."""
        return self.tissue is not None and self.labelled

    @property
    def box(self) -> Shape:
        """Voxels along each axis."""
        return self.mask.shape[0], self.mask.shape[1], self.mask.shape[2]

    @cached_property
    def levels(self) -> Levels:
        """Levels of the image's tissues."""
        if self.image is None:
            return Levels(air=0.0, width=1.0, csf=0.2, grey=0.6)
        if self.tissue is not None:
            return levels_of_tissues(self.image, self.tissue)
        return find_levels(self.image)

    @cached_property
    def lesion(self) -> Int16[np.ndarray, "n 3"]:
        """Voxels of the truth, in CPU memory, where crops are chosen."""
        return self.mask.nonzero().to(torch.int16).cpu().numpy()

    @cached_property
    def lesions(self) -> tuple[Int16[np.ndarray, "n 3"], ...]:
        """Voxels of each separate lesion, in CPU memory."""
        if not len(self.lesion):
            return ()
        corner = self.lesion.min(0)
        inside = tuple((self.lesion - corner).T)
        near = np.zeros(self.lesion.max(0) - corner + 1, bool)
        near[inside] = True
        number = label_components(near)[0][inside]
        return tuple(self.lesion[number == n] for n in range(1, number.max() + 1))

    @property
    def codes(self) -> UInt8[Tensor, "i j k"]:
        """Tissue codes, known or guessed."""
        return self._anatomy[0].to(self.device, non_blocking=True)

    @property
    def around(self) -> Float[Tensor, "5 i2 j2 k2"]:
        """Direction to the nearest CSF, share of brain, and whether it is face; on the skull strip's coarse grid."""
        return self._anatomy[1].to(self.device, non_blocking=True)

    @cached_property
    def _anatomy(self) -> tuple[Tensor, Tensor]:
        """Tissue codes and `around`, stored where the case itself lies.

        A GPU that is too small for a cohort has no room for these either.
        """
        brain = self._soft_brain()
        codes = self._guessed(brain) if self.tissue is None else self.tissue.to(self.device)
        far = blur_wide_each(brain[None], _FACE_MM / CELL)[0] < _FACE
        far[:, : far.shape[1] // 2] = False
        far[:, :, far.shape[2] // 2 :] = False
        around = torch.cat([toward_csf(codes), brain[None], far[None].float()]).half()
        if self.mask.device == self.device:
            return codes, around
        kept = (codes.cpu(), around.cpu())
        return (kept[0].pin_memory(), kept[1].pin_memory()) if self.device.type == "cuda" else kept

    def _guessed(self, soft: Tensor) -> UInt8[Tensor, "i j k"]:
        """Guess tissues from intensities, inside an approximate brain."""
        assert self.image is not None
        x, levels = relative(self.image.to(self.device), self.levels), self.levels
        brain = F.interpolate(soft[None, None], size=self.box, mode="trilinear")[0, 0] > 0.5
        codes = torch.full_like(x, int(Tissue.CORTEX), dtype=torch.uint8)
        codes[x > (1 + levels.grey) / 2] = int(Tissue.WHITE)
        codes[x < (levels.csf + levels.grey) / 2] = int(Tissue.SULCAL_CSF)
        codes[~brain | (x < 0.5 * levels.csf) | (x > 1.4)] = int(Tissue.OUTSIDE)
        return codes

    @cached_property
    def places(self) -> dict[Tissue, np.ndarray]:
        """Voxels of each tissue, some thousands at most, in CPU memory."""
        out = {}
        for kind in Tissue:
            voxels = (self.codes == kind).nonzero()
            step = max(1, len(voxels) // _PLACES)
            out[kind] = voxels[::step].cpu().numpy().astype(np.float64)
        return out

    @cached_property
    def half_codes(self) -> UInt8[np.ndarray, "i2 j2 k2"]:
        """Tissue codes of every second voxel, in CPU memory, where placements are checked."""
        return self.codes[::2, ::2, ::2].cpu().numpy()

    def _soft_brain(self) -> Float[Tensor, "i2 j2 k2"]:
        if self.tissue is None:
            assert self.image is not None
            return soft_brain(relative(self.image.to(self.device), self.levels))
        brain = torch.zeros(self.box, device=self.device)
        for kind in BRAIN:
            brain += self.tissue.to(self.device) == kind
        return blur_wide_each(F.avg_pool3d(brain[None], CELL), _RIM_MM / CELL)[0]

    @cached_property
    def coarse_codes(self) -> UInt8[Tensor, "i8 j8 k8"]:
        """Tissue codes of every eighth voxel."""
        return self.codes[::COARSE, ::COARSE, ::COARSE].contiguous()

    @cached_property
    def coarse_around(self) -> Float[Tensor, "2 i8 j8 k8"]:
        """Share of brain at every eighth voxel, and whether it is face."""
        index = torch.stack(torch.meshgrid(*_places(self.box, self.device), indexing="ij"))[
            :, ::COARSE, ::COARSE, ::COARSE
        ]
        return look_up(self.around[3:], (index - (CELL - 1) / 2) / CELL, repeat_rim=True)

    @cached_property
    def _with_skull(self) -> Float[Tensor, "7 i8 j8 k8"]:
        return self._coarse_images(strip=False)

    @cached_property
    def _without_skull(self) -> Float[Tensor, "7 i8 j8 k8"]:
        return self._coarse_images(strip=True)

    def _coarse_images(self, *, strip: bool) -> Float[Tensor, "7 i8 j8 k8"]:
        """Return every eighth voxel: as it is, and in slices of either thickness along each axis."""
        if self.image is None:
            return torch.zeros(7, *self.coarse_codes.shape, device=self.device)
        image = self.image.to(self.device)
        images = [self._lines(image, None, strip=strip)]
        for axis in range(3):
            looks = [ScannerLook(slice_mm=thick, slice_axis=axis) for thick in _SLICES_MM]
            scans = scan_numbers(looks, white=[1.0, 1.0], box=self.box, shape=self.box)
            blur, slab, count = (
                put(part, self.device) for part in (scans.blur, scans.slab[:, axis], scans.slices[:, axis])
            )
            lines = self._lines(image, axis, strip=strip).movedim(axis, 0)
            for rows in spreads(self.box[axis], blur, slab, count):
                images.append(torch.tensordot(rows[::COARSE], lines, 1).movedim(0, axis))
        return torch.stack(images).half()

    def _lines(self, image: Tensor, axis: int | None, *, strip: bool) -> Float[Tensor, "i j k"]:
        """Return every eighth voxel along each axis but one, with air 0 and white matter about 1."""
        i, j, k = (slice(None, None, 1 if axis == other else COARSE) for other in range(3))
        x = relative(image[i, j, k], self.levels)
        if strip:
            places = _places(self.box, self.device)
            index = torch.stack(torch.meshgrid(places[0][i], places[1][j], places[2][k], indexing="ij"))
            x = x * (around_at(self.around[None].float(), index[None])[0, 3] > 0.5)
        return x

    def coarse(self, plan: Augmentation) -> Float[Tensor, "i8 j8 k8"]:
        """Return every eighth voxel, with or without skull, in slices about as thick as the plan's."""
        look, (thin, thick) = plan.scanner or ScannerLook(), _SLICES_MM
        held = self._with_skull if plan.strip is None else self._without_skull
        if look.slice_mm <= 1:
            return held[0].float()
        first = 1 + 2 * look.slice_axis
        if look.slice_mm < thin:
            ends, share = (0, first), (look.slice_mm - 1) / (thin - 1)
        else:
            ends, share = (first, first + 1), (look.slice_mm - thin) / (thick - thin)
        return torch.lerp(held[ends[0]].float(), held[ends[1]].float(), share)


def bare(coarse: Float[Tensor, "b i8 j8 k8"], scans: ScanNumbers[Tensor], box: Shape) -> Float[Tensor, "b i8 j8 k8"]:
    """Return coarse heads as their scanners show them, without noise."""
    places = [along_it[None, ::COARSE] for along_it in _places(box, coarse.device)]
    return toned(coarse, scans) * torch.exp(log_bias(scans, box, places))


def around_at(around: Float[Tensor, "b 5 i2 j2 k2"], index: Float[Tensor, "b 3 i j k"]) -> Float[Tensor, "b 5 i j k"]:
    """Look up `Original.around` at points given in voxels of the image."""
    return look_up_each(around, (index - (CELL - 1) / 2) / CELL, repeat_rim=True)


def brain_codes(codes: Tensor) -> Bool[Tensor, "..."]:
    """Return a mask of the tissue codes that are brain."""
    return (codes >= int(BRAIN[0])) & (codes <= int(BRAIN[-1]))


def _places(box: Shape, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    i, j, k = (torch.arange(n, dtype=torch.float32, device=device) for n in box)
    return i, j, k
