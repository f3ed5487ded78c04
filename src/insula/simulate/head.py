"""A head with an infarct, and its truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from insula.config import SimulateConfig
from insula.simulate.anatomy import BRAIN, PARENCHYMA, Tissue, paint
from insula.simulate.deform import Deformation
from insula.simulate.fields import blur, blur_wide, look_up, smooth_noise
from insula.simulate.lesion import LesionLook, insert_lesion, pull
from insula.simulate.scanner import ScannerLook, scan_with
from insula.simulate.unfamiliar import insert_unfamiliar
from insula.types import Phase

__all__ = ["Host", "LesionShape", "SimulatedHead", "simulate_head"]

_SMALLEST = 5  # voxels; a lesion that anatomy cuts down below this is called none


@dataclass(frozen=True, eq=False, kw_only=True)
class Host:
    """A lesion-free head that can receive an infarct, in the training box at 1 mm."""

    name: str
    """Where it comes from."""
    image: Float[Tensor, "i j k"] | None
    """T1w intensities; None where only a label map exists, then the head is always painted."""
    tissue: UInt8[Tensor, "i j k"]
    """Codes of `Tissue`."""
    to_atlas: np.ndarray
    """4x4: voxel of the box -> millimetre of the space the lesion shapes were drawn in."""
    skull: bool
    """Whether the image shows it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LesionShape:
    """A real lesion's outline: a crop at 1 mm, RAS+."""

    name: str
    """Where it comes from."""
    voxels: UInt8[Tensor, "i j k"]
    """0 or 1."""
    origin_mm: tuple[float, float, float]
    """The place of voxel (0, 0, 0)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatedHead:
    """What a scanner would show, and what is true."""

    image: Float[Tensor, "i j k"]
    """White matter about 1."""
    truth: Float[Tensor, "i j k"]
    """0 or 1; all 0 for a control."""
    phase: Phase
    """Acute, chronic or control."""
    host: str
    """Whose head it was."""


def simulate_head(
    host: Host, shapes: list[LesionShape], config: SimulateConfig, rng: np.random.Generator, *,
    phase: Literal["acute", "chronic"] = "chronic", look: ScannerLook | None = None, unfamiliar: bool = False,
) -> SimulatedHead:  # fmt: skip
    """Deform a host, infarct it, scan it.

    Args:
        host: the head.
        shapes: the lesions it gets; none makes a control.
        config: how often each kind of head is drawn.
        rng: the source of chance; the same state gives the same head on the same kind of device.
        phase: how the lesions look.
        look: the scanner; drawn if not given.
        unfamiliar: the same head, but its lesions look as `insert_unfamiliar` draws them, which no training sees.
    """
    device = host.tissue.device
    box = (host.tissue.shape[0], host.tissue.shape[1], host.tissue.shape[2])
    infarct = LesionLook.sample(rng, phase=phase)
    index = Deformation.sample(rng, shift_mm=config.shift_mm).index(box, device=device)
    places = [_placement(host, rng, device) for _ in shapes]

    def lesion_at(where: Tensor) -> Tensor:
        total = torch.zeros(box, device=device)
        for shape, place in zip(shapes, places, strict=True):
            total = torch.maximum(total, _lay(shape, place, where))
        return total

    if shapes:
        index = index + pull(lesion_at(index), infarct)
    tissue = look_up(host.tissue[None], index, nearest=True)[0].to(torch.uint8)
    truth = ((lesion_at(index) > 0.5) & _any_of(tissue, (*PARENCHYMA, Tissue.SULCAL_CSF))).float()

    painted = host.image is None or rng.random() < config.painted_fraction
    if painted or host.image is None:
        image, means = paint(tissue, rng)
        csf, grey, white = means[Tissue.VENTRICLE], means[Tissue.CORTEX], means[Tissue.WHITE]
    else:
        image = look_up(host.image[None], index)[0]
        csf, grey, white = (_level(image, tissue, kind) for kind in (Tissue.VENTRICLE, Tissue.CORTEX, Tissue.WHITE))
        if config.blend_fraction and rng.random() < config.blend_fraction:
            picture, means = paint(tissue, rng)
            share = float(rng.uniform(0.3, 0.9))
            image = share * image / white + (1 - share) * picture
            kinds = (Tissue.VENTRICLE, Tissue.CORTEX, Tissue.WHITE)
            csf, grey, white = (
                share * level / white + (1 - share) * means[kind]
                for level, kind in zip((csf, grey, white), kinds, strict=True)
            )
    image = _white_matter_disease(image, tissue, rng)
    if truth.sum() < _SMALLEST:
        truth = torch.zeros_like(truth)
    elif unfamiliar:
        image = insert_unfamiliar(image, truth, np.random.default_rng(infarct.seed), csf=csf, grey=grey)
    else:
        image = insert_lesion(image, truth, infarct, csf=csf, grey=grey)
    image = _undress(image, tissue, host.skull or painted, config, rng)
    image = scan_with(image, look or ScannerLook.sample(rng), white=white)
    return SimulatedHead(image=image, truth=truth, phase=phase if truth.any() else "control", host=host.name)


def _placement(host: Host, rng: np.random.Generator, device: torch.device) -> Tensor:
    """Host voxel -> atlas millimetre for one lesion: the host's own map, jittered."""
    jitter = np.eye(4)
    jitter[:3, :3] *= rng.uniform(0.85, 1.35)  # above 1 the lesion comes out smaller
    jitter[:3, 3] = rng.normal(0, 5, 3)
    if rng.random() < 0.5:
        jitter = np.diag([-1.0, 1.0, 1.0, 1.0]) @ jitter
    centre = np.eye(4)
    centre[:3, 3] = [0, -18, 10]  # about the middle of the brain in MNI millimetres, so that scaling keeps places
    matrix = centre @ jitter @ np.linalg.inv(centre) @ host.to_atlas
    return torch.tensor(matrix, dtype=torch.float32, device=device)


def _lay(shape: LesionShape, place: Tensor, index: Tensor) -> Tensor:
    """The lesion on the box, from host indices; looked up only where its crop reaches, a small part of most boxes."""
    atlas = torch.einsum("ab,bijk->aijk", place[:3, :3], index)
    offset = (place[:3, 3] - torch.tensor(shape.origin_mm, device=index.device)).view(3, 1, 1, 1)
    size = torch.tensor(shape.voxels.shape, device=index.device).view(3, 1, 1, 1)
    atlas += offset
    near = ((atlas > -1) & (atlas < size)).all(0)
    lesion = torch.zeros(near.shape, device=index.device)
    if bool(near.any()):
        box = tuple(_extent(near, axis) for axis in range(3))
        lesion[box] = look_up(shape.voxels.to(index.device)[None], atlas[(slice(None), *box)])[0]
    return lesion


def _extent(mask: Tensor, axis: int) -> slice:
    """From the first to the last plane along an axis that has a voxel of the mask."""
    where = mask.movedim(axis, 0).flatten(1).any(1).nonzero()
    return slice(int(where[0]), int(where[-1]) + 1)


def _any_of(tissue: Tensor, kinds: tuple[int, ...]) -> Tensor:
    table = torch.zeros(len(Tissue), dtype=torch.bool, device=tissue.device)
    table[list(kinds)] = True
    return table[tissue.long()]


def _level(image: Tensor, tissue: Tensor, kind: Tissue) -> float:
    """The middle intensity of a tissue; of the whole head where the map has none."""
    values = image[::2, ::2, ::2][tissue[::2, ::2, ::2] == kind]
    return (
        float(values.median())
        if values.numel() > 50
        else float(image[tissue > 0].quantile(0.05 if kind == Tissue.VENTRICLE else 0.5))
    )


def _white_matter_disease(image: Tensor, tissue: Tensor, rng: np.random.Generator) -> Tensor:
    """Mildly dark patches around the ventricles of old brains: not infarcts, not in the truth."""
    if rng.random() > 0.4:
        return image
    shape = (image.shape[0], image.shape[1], image.shape[2])
    near = blur_wide((tissue == Tissue.VENTRICLE).float(), 6.0)
    patches = smooth_noise(shape, cell_mm=7, seed=int(rng.integers(2**31)), device=image.device)[0]
    there = torch.sigmoid((near * 4 + 0.4 * patches - rng.uniform(0.9, 1.4)) / 0.1) * (tissue == Tissue.WHITE)
    return image * (1 - rng.uniform(0.04, 0.14) * blur(there, 0.8))


def _undress(image: Tensor, tissue: Tensor, skull: bool, config: SimulateConfig, rng: np.random.Generator) -> Tensor:
    """Take the skull off, or the face, as data sharing does."""
    brain = _any_of(tissue, BRAIN).float()
    if not skull or rng.random() < config.strip_fraction:
        edge = rng.uniform(0.1, 0.6) if skull else 0.5  # below 0.5 a rim of dura and skull stays
        return image * (blur(brain, 1.5) > edge)
    if rng.random() < config.deface_fraction:
        face = blur_wide(brain, 10.0) < 0.02
        half_j, half_k = image.shape[1] // 2, image.shape[2] // 2
        face[:, :half_j] = False
        face[:, :, half_k:] = False
        return image * ~face
    return image
