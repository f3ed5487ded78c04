"""Smooth random fields, blurring and look-up: the physics' small change.

Volumes are (i, j, k) tensors at 1 mm, so a voxel is a millimetre. Everything runs on the volume's device.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from insula.types import Shape

__all__ = [
    "along",
    "band",
    "blur",
    "blur_wide",
    "gradient",
    "identity",
    "look_up",
    "look_up_each",
    "noise",
    "resize",
    "smooth_at",
    "smooth_noise",
]

_NO_BLUR = 0.05  # mm

Volume = Float[Tensor, "i j k"]
Vectors = Float[Tensor, "3 i j k"]


def noise(shape: tuple[int, ...], *, seed: int, device: torch.device) -> Tensor:
    """Standard normal noise; the same for the same seed on the same kind of device."""
    generator = torch.Generator(device=device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device)


def resize(volumes: Float[Tensor, "c i j k"], shape: Shape) -> Float[Tensor, "c i2 j2 k2"]:
    """Trilinear, corner to corner."""
    return F.interpolate(volumes[None], size=shape, mode="trilinear", align_corners=True)[0]


def smooth_noise(shape: Shape, *, cell_mm: float, seed: int, device: torch.device, channels: int = 1) -> Tensor:
    """Noise of about unit variance that varies over `cell_mm`: (channels, i, j, k)."""
    return resize(noise((channels, *_nodes(shape, cell_mm)), seed=seed, device=device), shape)


def smooth_at(
    places: tuple[Float[Tensor, " i"], Float[Tensor, " j"], Float[Tensor, " k"]],
    box: Shape,
    *,
    cell_mm: float,
    seed: int,
) -> Float[Tensor, "i j k"]:
    """As `smooth_noise` over `box`, read at these places along each axis [voxels]: a crop or a coarse grid of it.

    The same for the same seed on every device.
    """
    device = places[0].device
    field = noise(_nodes(box, cell_mm), seed=seed, device=torch.device("cpu")).to(device)
    for axis, (along_it, size) in enumerate(zip(places, box, strict=True)):
        count = field.shape[axis]
        away = (along_it[:, None] * ((count - 1) / max(size - 1, 1)) - torch.arange(count, device=device)).abs()
        field = torch.tensordot((1 - away).clamp_min(0), field.movedim(axis, 0), 1).movedim(0, axis)
    return field


def _nodes(shape: Shape, cell_mm: float) -> Shape:
    i, j, k = (max(2, round(n / cell_mm) + 1) for n in shape)
    return i, j, k


def blur(volume: Volume, sigma_mm: float | tuple[float, float, float]) -> Volume:
    """Gaussian blur, the rim repeated outward; axes of sigma 0 are left alone.

    Each axis is one product with a band matrix: a convolution of one channel is what GPUs are slowest at.
    """
    sigmas = (sigma_mm,) * 3 if isinstance(sigma_mm, int | float) else sigma_mm
    x = volume[None]
    for axis, sigma in enumerate(sigmas):
        if sigma > _NO_BLUR:
            x = along(x, axis, band(x.shape[axis + 1], sigma, device=x.device)[None].to(x.dtype))
    return x[0]


def along(volumes: Float[Tensor, "b i j k"], axis: int, matrices: Float[Tensor, "b n n"]) -> Float[Tensor, "b i j k"]:
    """Multiply every line along an axis (0, 1, 2) by its volume's matrix: any linear thing that happens along lines."""
    b, i, j, k = volumes.shape
    if axis == 0:
        return (matrices @ volumes.reshape(b, i, j * k)).view(b, i, j, k)
    if axis == 1:
        return matrices[:, None] @ volumes
    return volumes @ matrices[:, None].mT


def band(size: int, sigma: float, *, device: torch.device) -> Float[Tensor, "n n"]:
    """Row r holds the weights that blurring voxel r gives to all voxels of its line; rows sum to 1.

    Made on the device: a processor that is busy with something else would keep it waiting.

    Args:
        size: voxels of a line.
        sigma: of the Gaussian [voxels]; at most 0.05 is no blur.
        device: where it is needed.
    """
    if sigma <= _NO_BLUR:
        return torch.eye(size, device=device)
    radius = max(1, math.ceil(3 * sigma))
    away = torch.arange(size + radius, device=device)
    taps = torch.exp(-0.5 * (away / sigma) ** 2) * (away <= radius)  # by distance
    taps = taps / (2 * taps.sum() - 1)
    place = away[:size]
    weights = taps[(place[:, None] - place).abs()]
    beyond = taps.flip(0).cumsum(0).flip(0)  # what falls on or beyond each distance: the rim is repeated outward
    weights[:, 0] += beyond[place + 1]
    weights[:, -1] += beyond[size - place]
    return weights


def blur_wide(volume: Volume, sigma_mm: float) -> Volume:
    """A wide blur, computed at half the resolution."""
    coarse = F.avg_pool3d(volume[None, None], 2)[0, 0]
    return F.interpolate(blur(coarse, sigma_mm / 2)[None, None], size=volume.shape, mode="trilinear")[0, 0]


def gradient(volume: Volume) -> Vectors:
    """Central differences per voxel."""
    return torch.stack(torch.gradient(volume))


def identity(shape: Shape, *, device: torch.device) -> Vectors:
    """The index of each voxel."""
    axes = [torch.arange(n, device=device, dtype=torch.float32) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def look_up(
    volumes: Float[Tensor, "c i j k"], index: Vectors, *, nearest: bool = False, repeat_rim: bool = False
) -> Float[Tensor, "c i2 j2 k2"]:
    """Read `volumes` at fractional voxel indices; 0 outside, or what the rim has there."""
    return look_up_each(volumes[None], index[None], nearest=nearest, repeat_rim=repeat_rim)[0]


def look_up_each(
    volumes: Float[Tensor, "b c i j k"],
    index: Float[Tensor, "b 3 i2 j2 k2"],
    *,
    nearest: bool = False,
    repeat_rim: bool = False,
) -> Float[Tensor, "b c i2 j2 k2"]:
    """As `look_up`, every item of a batch at its own indices."""
    sizes = torch.tensor(volumes.shape[2:], device=index.device, dtype=torch.float32).view(3, 1, 1, 1)
    unit = torch.addcmul(1 / sizes - 1, index, 2 / sizes)  # -1 and 1 are the volume's faces, half a voxel outside
    points = unit.flip(1).permute(0, 2, 3, 4, 1)
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(
        volumes.float(), points, mode=mode, padding_mode="border" if repeat_rim else "zeros", align_corners=False
    )
