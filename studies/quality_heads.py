"""Draw T1w heads of known quality: what moved, how strongly, and how much noise there is.

A head is drawn at 2 mm (to train) or 1 mm (to judge) from a scanned host or a painted label map. Movement is measured
by what it does: the root mean square change of the brain's intensities, as a share of the contrast between grey and
white matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from insula.augment import Original
from insula.contrast.spoil import field
from insula.simulate import Artefacts, Deformation
from insula.simulate.anatomy import BRAIN, GREY, WHITE, draw_palette
from insula.simulate.artefacts import disturb
from insula.simulate.fields import look_up

__all__ = ["MOVEMENTS", "Quality", "QualityHead", "draw_head", "move"]

Volume = Float[Tensor, "i j k"]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is wrong with a head; the default is nothing."""

    movement: str = ""
    """One of `MOVEMENTS`, or empty."""
    strength: float = 0.0
    """Strength of the movement, 0 to 1; a third is mild."""
    noise: float = 0.0
    """Rician noise at 1 mm, relative to white matter."""
    bias: float = 0.0
    """Strength of the shading."""
    grey_levels: int = 0
    """Grey levels between air and white matter; 0 for as many as there are."""


@dataclass(frozen=True, eq=False)
class QualityHead:
    """A head and how far its movement changed it."""

    image: Volume
    """White matter about 1, air about 0."""
    change: float
    """Root mean square change of the brain by movement, relative to the contrast of grey and white matter."""


def draw_head(host: Original, quality: Quality, seed: int, *, mm: int) -> QualityHead:
    """Draw a head as an ordinary T1w scanner shows it, then add what `quality` says.

    Pose, gamma, lesion, sharpness, slice thickness, brain extraction and empty surroundings vary in every head.

    Args:
        host: a head or a label map with its tissues, in the training box at 1 mm.
        quality: the faults.
        seed: seed of all random draws.
        mm: size of the voxels drawn, 1 or 2 [mm].
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    assert host.tissue is not None
    tissue = host.tissue[1::2, 1::2, 1::2] if mm == 2 else host.tissue
    image = _ordinary(host, tissue, rng, generator, mm)
    brain, white, grey = (_among(tissue, codes) for codes in (BRAIN, WHITE, GREY))
    contrast = max(0.05, abs(float(image[white].median()) - float(image[grey].median())))
    change = 0.0
    if quality.movement:
        moved = move(image, quality.movement, quality.strength, rng, mm)
        change = float((moved - image)[brain].square().mean().sqrt()) / contrast
        image = moved
    strength = quality.bias if quality.bias else float(rng.uniform(0, 0.35))
    image = image * torch.exp(strength * field((*image.shape,), 56 // mm, generator))
    # neighbours of a scan that was resampled are not independent: less than the root of eight
    size = quality.noise / (1.0 if mm == 1 else float(rng.uniform(2.0, 2.8)))
    even, odd = (size * torch.randn(image.shape, generator=generator) for _ in range(2))
    image = ((image + even).square() + odd.square()).sqrt()
    if quality.grey_levels:
        image = (image * quality.grey_levels).round() / quality.grey_levels
    return QualityHead(_surrounded(image, rng, generator), change)


def _ordinary(host: Original, tissue: Tensor, rng: np.random.Generator, generator: torch.Generator, mm: int) -> Volume:
    brain, white = _among(tissue, BRAIN), _among(tissue, WHITE)
    shape = (tissue.shape[0], tissue.shape[1], tissue.shape[2])
    if host.image is not None and rng.random() < 0.85:
        image = host.image.float()
        if mm == 2:
            image = functional.avg_pool3d(image[None, None], 2)[0, 0]
        image = (image / image[white].median()).clamp(0, 4) ** float(rng.uniform(0.75, 1.35))
    else:
        image = torch.tensor(draw_palette(rng))[tissue.long()]
        for cell, most in ((2, 0.06), (5, 0.06)):
            image = image * (1 + float(rng.uniform(0.01, most)) * field(shape, 2 * cell // mm, generator))
    if rng.random() < 0.5:
        image = image * (1 - float(rng.uniform(0.3, 0.8)) * _lesion(brain, rng, mm))
    if host.skull and rng.random() < 0.3:
        image = image * functional.max_pool3d(brain[None, None].float(), 3, 1, 1)[0, 0]
    widths = [float(rng.uniform(0.2, 0.9))] * 3
    if rng.random() < 0.3:
        widths[int(rng.integers(3))] = float(rng.uniform(2, 6)) / 2.355
    for axis, width in enumerate(widths):
        image = _blurred(image, axis, width / mm)
    angles, shifts = rng.normal(0, 6, 3), rng.normal(0, 5, 3) / mm
    return _posed(image, angles, shifts)


def _surrounded(image: Volume, rng: np.random.Generator, generator: torch.Generator) -> Volume:
    """Empty the surroundings of the head in some, as defacing does, or fill them with noise, as MP2RAGE does."""
    which = rng.random()
    if which > 0.5:
        return image
    smooth = image
    for axis in range(3):
        smooth = _blurred(smooth, axis, 2.0)
    outside = smooth < 0.12
    if which < 0.4:
        return torch.where(outside, 0.0, image)
    return torch.where(outside, torch.rand(image.shape, generator=generator), image)


def _lesion(brain: Tensor, rng: np.random.Generator, mm: int) -> Volume:
    places = brain.nonzero()
    middle = places[int(rng.integers(len(places)))].float()
    radii = np.exp(rng.uniform(np.log(3), np.log(30), 3)) / mm
    grids = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in brain.shape), indexing="ij")
    away = sum((((g - m) / float(r)).square() for g, m, r in zip(grids, middle, radii, strict=True)), torch.zeros(()))
    return ((1.3 - away) * 2).clamp(0, 1) * brain


def _step(image: Volume, strength: float, rng: np.random.Generator, mm: int) -> Volume:
    """The head moves once and stays there."""
    return disturb(image, Artefacts(**_one_move(strength, rng, mm)))


def _weak_lines(image: Volume, strength: float, rng: np.random.Generator, mm: int) -> Volume:
    """Lines of k-space are weaker at regular intervals."""
    return disturb(image, Artefacts(phase_axis=int(rng.integers(2)), **_ghost(strength, rng)))


def _step_and_ghost(image: Volume, strength: float, rng: np.random.Generator, mm: int) -> Volume:
    """Both at once."""
    return disturb(image, replace(Artefacts(**_one_move(strength, rng, mm)), **_ghost(0.7 * strength, rng)))


def _one_move(strength: float, rng: np.random.Generator, mm: int) -> dict[str, Any]:
    turn = rng.choice([-1, 1], 3) * rng.uniform(0.3, 1, 3) * 9 * strength
    shift = rng.choice([-1, 1], 3) * rng.uniform(0.3, 1, 3) * 6 * strength / mm
    # the centre of k-space is acquired half-way; a late movement changes only the finest detail
    return {
        "phase_axis": int(rng.integers(2)),
        "move_deg": tuple(map(float, turn)),
        "move_mm": tuple(map(float, shift)),
        "move_at": 0.5 + float(rng.uniform(0.02, 0.1)) * mm,
    }


def _ghost(strength: float, rng: np.random.Generator) -> dict[str, Any]:
    return {"ghost": 0.6 * strength * float(rng.uniform(0.6, 1)), "ghost_every": int(rng.integers(2, 7))}


def _restless(image: Volume, strength: float, rng: np.random.Generator, mm: int) -> Volume:
    """The head moves several times: stretches of lines show it in other poses."""
    axis = int(rng.integers(2))
    size = image.shape[axis]
    space = torch.fft.fft(image, dim=axis)
    order = torch.fft.fftfreq(size).argsort()
    for _ in range(int(rng.integers(2, 7))):
        angles, shifts = rng.normal(0, 4 * strength, 3), rng.normal(0, 4 * strength, 3) / mm
        first, length = int(rng.integers(size)), int(rng.integers(4, 1 + size // 5))
        lines = order[first : first + length]
        other = torch.fft.fft(_posed(image, angles, shifts), dim=axis)
        space.index_copy_(axis, lines, other.index_select(axis, lines))
    return torch.fft.ifft(space, dim=axis).abs()


def _swaying(image: Volume, strength: float, rng: np.random.Generator, mm: int) -> Volume:
    """The head sways along the phase axis: the phase of each line follows a wave."""
    axis = int(rng.integers(2))
    size = image.shape[axis]
    frequency = torch.fft.fftfreq(size)
    order = frequency.argsort().argsort()
    away = 4 * strength / mm * torch.sin(2 * np.pi * order / float(rng.uniform(3, 20)) + float(rng.uniform(0, 6)))
    turn = torch.exp(-2j * np.pi * frequency * away).view([-1 if n == axis else 1 for n in range(3)])
    return torch.fft.ifft(torch.fft.fft(image, dim=axis) * turn, dim=axis).abs()


MOVEMENTS: dict[str, Callable[[Volume, float, np.random.Generator, int], Volume]] = {
    "one movement": _step,
    "weak lines (ghosts)": _weak_lines,
    "movement and ghosts": _step_and_ghost,
    "restless": _restless,
    "swaying": _swaying,
}
"""Kinds of movement."""


def move(image: Volume, movement: str, strength: float, rng: np.random.Generator, mm: int) -> Volume:
    """Move a head during its acquisition."""
    return MOVEMENTS[movement](image, strength, rng, mm)


def _posed(image: Volume, angles: np.ndarray, shifts: np.ndarray) -> Volume:
    a, b, c = map(float, angles)
    x, y, z = map(float, shifts)
    pose = Deformation(rotation_deg=(a, b, c), shift_mm=(x, y, z))
    index = pose.index((image.shape[0], image.shape[1], image.shape[2]), device=image.device)
    return look_up(image[None], index, repeat_rim=True)[0]


def _among(tissue: Tensor, codes: tuple[int, ...]) -> Tensor:
    return torch.isin(tissue, torch.tensor(codes, dtype=torch.uint8))


def _blurred(image: Volume, axis: int, sigma: float) -> Volume:
    half = max(1, round(3 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-half, half + 1) / max(sigma, 0.05)).square())
    shape, pad = [1, 1, 1, 1, 1], [0, 0, 0]
    shape[2 + axis], pad[axis] = len(line), half
    return functional.conv3d(image[None, None], (line / line.sum()).view(shape), padding=pad)[0, 0]
