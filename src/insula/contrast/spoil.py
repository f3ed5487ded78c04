"""Degradation of an image by scanner and patient: resolution, shading, noise, movement, pose, cropping."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from insula.contrast.kinds import T1W_KINDS, Kind

__all__ = ["BOX", "MM", "SLOW", "emptied", "field", "moved", "noisy", "posed", "resolved", "shading"]

MM = 2.0
"""Size of the painted voxels [mm]."""
BOX = (96, 112, 88)
"""Shape of a painted image [voxels]."""
SLOW = (Kind.T2STAR, Kind.DWI, Kind.ADC, Kind.FA)
"""Echo-planar kinds: coarse, with little signal around the brain."""

Volume = Float[Tensor, "i j k"]


def resolved(image: Volume, kind: Kind, rng: np.random.Generator) -> Volume:
    """Blur an image to the resolution that it was scanned with."""
    if kind is Kind.PET:
        widths = [float(rng.uniform(4, 9))] * 3
    elif kind in SLOW:
        widths = [float(rng.uniform(2, 4)) for _ in range(3)]
    else:
        widths = [float(rng.uniform(0.8, 1.8))] * 3
        if rng.random() < 0.4:
            widths[2 if kind is not Kind.T1W else int(rng.integers(3))] = float(rng.uniform(3, 6))
    return _blurred(image, [w / 2.355 / MM + 0.2 for w in widths])


def moved(image: Volume, rng: np.random.Generator) -> tuple[Volume, bool]:
    """Replace some lines of k-space by those of other poses; also return whether the movement is severe."""
    axis = int(rng.integers(2))
    size = image.shape[axis]
    space = torch.fft.fftn(image)
    lines = (
        torch.fft.fftfreq(size).abs().argsort()
    )  # from the centre of k-space outward: central lines do the most harm
    severe = bool(rng.random() < 0.5)
    for _ in range(int(rng.integers(2, 6))):
        far = float(rng.uniform(3, 8) if severe else rng.uniform(0.2, 1.0))
        moved = _turned(image, rng.normal(0, far, 3), rng.normal(0, far, 3))
        first = int(rng.integers(0, size // 2) if severe else rng.integers(size // 3, size - 4))
        chosen = lines[first : first + max(3, size // 12)]
        other = torch.fft.fftn(moved)
        if axis == 0:
            space[chosen] = other[chosen]
        else:
            space[:, chosen] = other[:, chosen]
    return torch.fft.ifftn(space).abs(), severe


def noisy(
    image: Volume, kind: Kind, contrast: float, white: float, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Volume, bool]:
    """Add noise: Rician to magnitude images, Gaussian to maps, CT and PET; also return whether it is severe.

    Severe noise is about as large as half the contrast between grey and white matter.
    """
    noisy = bool(rng.random() < 0.12) and kind in T1W_KINDS
    at_1mm = float(rng.uniform(0.7, 1.5)) * contrast if noisy else float(rng.uniform(0.01, 0.35)) * contrast
    size = at_1mm / 2.0  # less than the root of eight, because neighbours are not independent
    if kind in (Kind.CT, Kind.PET, Kind.FA, Kind.ADC, Kind.T1_MAP):
        size = float(rng.uniform(0.005, 0.06)) * max(white, 0.1)
        return image + size * torch.randn(image.shape, generator=generator), False
    even, odd = (size * torch.randn(image.shape, generator=generator) for _ in range(2))
    image = ((image + even) ** 2 + odd**2).sqrt()
    if kind is Kind.T1W and rng.random() < 0.12:  # MP2RAGE's division: noise over the whole range outside
        outside = _blurred(image, [1.5] * 3) < 0.12 * white
        image = torch.where(outside, torch.rand(image.shape, generator=generator) * white * 0.9, image)
    return image, noisy


def emptied(image: Volume, white: float, rng: np.random.Generator) -> Volume:
    """Set the surroundings of the head to exact zeros, as defacing, brain extraction and scanners' thresholds do."""
    if rng.random() < 0.3:
        return (image - float(rng.uniform(0.02, 0.08)) * white).clamp_min(0)
    return torch.where(_blurred(image, [1.0] * 3) < float(rng.uniform(0.05, 0.15)) * max(white, 0.1), 0.0, image)


def posed(image: Volume, rng: np.random.Generator) -> Volume:
    """Turn, shift and scale a head at random; now and then the field of view cuts it."""
    out = _turned(image, rng.normal(0, 8, 3), rng.normal(0, 10, 3), scale=float(rng.uniform(0.86, 1.14)))
    if rng.random() < 0.25:
        axis, share = int(rng.integers(3)), float(rng.uniform(0.03, 0.22))
        cut = int(share * out.shape[axis])
        out = out.clone()
        out.narrow(axis, *((0, cut) if rng.random() < 0.5 or axis == 2 else (out.shape[axis] - cut, cut))).zero_()
    return out


def _turned(
    image: Volume, degrees: Sequence[float] | np.ndarray, shift_mm: Sequence[float] | np.ndarray, *, scale: float = 1.0
) -> Volume:
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    size = np.array(image.shape, float)
    # in the units of affine_grid, -1 to 1 along each axis
    turn = np.diag(1 / size) @ (x @ y @ z / scale) @ np.diag(size)
    move = 2 * np.asarray(shift_mm) / (MM * size)
    theta = torch.tensor(np.concatenate([turn, move[:, None]], 1)[::-1, [2, 1, 0, 3]].copy(), dtype=torch.float32)
    where = functional.affine_grid(theta[None], [1, 1, *image.shape], align_corners=False)
    return functional.grid_sample(image[None, None], where, align_corners=False)[0, 0]


def shading(shape: tuple[int, ...], generator: torch.Generator, strength: float) -> Volume:
    """Return a smooth factor around 1."""
    return torch.exp(strength * field(shape, 28, generator))


def field(shape: tuple[int, ...], cell: int, generator: torch.Generator) -> Volume:
    """Return smooth noise of variance about 1, with grains `cell` voxels wide."""
    if cell <= 1:
        return torch.randn(shape, generator=generator)
    coarse = torch.randn([max(2, math.ceil(n / cell) + 1) for n in shape], generator=generator)
    return functional.interpolate(coarse[None, None], size=shape, mode="trilinear", align_corners=True)[0, 0] * 1.6


def _blurred(image: Volume, sigmas: Sequence[float]) -> Volume:
    out = image[None, None]
    for axis, sigma in enumerate(sigmas):
        half = max(1, math.ceil(3 * sigma))
        line = torch.exp(-0.5 * (torch.arange(-half, half + 1) / sigma) ** 2)
        shape, pad = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], pad[axis] = len(line), half
        out = functional.conv3d(out, (line / line.sum()).view(shape), padding=pad)
    return out[0, 0]
