"""Smooth random fields, blurring and look-up, the basic operations of the simulation.

Volumes are (i, j, k) tensors at 1 mm, so a voxel is a millimetre. Everything runs on the volume's device, and nothing
waits for it, so that a processor can prepare the next batch while a GPU works.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Num, Shaped
from torch import Tensor
from torch.nn import functional as F

from insula.types import Shape

__all__ = [
    "along",
    "bands",
    "between_nodes",
    "blur",
    "blur_each",
    "blur_evenly",
    "blur_wide",
    "blur_wide_each",
    "gradient",
    "identity",
    "look_up",
    "look_up_each",
    "node_counts",
    "node_noise",
    "noise",
    "put",
    "resize",
    "smooth_noise",
]

_NO_BLUR = 0.05  # mm

Volume = Float[Tensor, "i j k"]
Volumes = Float[Tensor, "b i j k"]
Vectors = Float[Tensor, "3 i j k"]


def put(values: Sequence[float] | np.ndarray, device: torch.device) -> Tensor:
    """Return numbers on a device, as float32; a GPU fetches them when it gets there."""
    numbers = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers


def noise(shape: tuple[int, ...], *, seed: int, device: torch.device) -> Tensor:
    """Draw standard normal noise; the same for the same seed on the same kind of device."""
    generator = torch.Generator(device=device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device)


def resize(volumes: Float[Tensor, "c i j k"], shape: Shape) -> Float[Tensor, "c i2 j2 k2"]:
    """Resize volumes by trilinear interpolation, corner to corner."""
    return F.interpolate(volumes[None], size=shape, mode="trilinear", align_corners=True)[0]


def smooth_noise(shape: Shape, *, cell_mm: float, seed: int, device: torch.device, channels: int = 1) -> Tensor:
    """Draw noise of about unit variance that varies over `cell_mm`: (channels, i, j, k)."""
    return resize(noise((channels, *node_counts(shape, cell_mm)), seed=seed, device=device), shape)


def between_nodes(
    nodes: Float[Tensor, "#b x y z"], places: Sequence[Num[Tensor, "#b _"]], apart: Sequence[Tensor | float]
) -> Float[Tensor, "b i j k"]:
    """Interpolate trilinearly between nodes, at places along each axis [voxels]; like `resize`, but for a part.

    Args:
        nodes: values at the nodes; the first lies at voxel 0.
        places: for each item, or one line of them for all.
        apart: distance from node to node along each axis [voxels].
    """
    field = nodes
    for axis, (along_it, distance) in enumerate(zip(places, apart, strict=True)):
        away = (along_it / distance)[..., None] - torch.arange(field.shape[axis + 1], device=nodes.device)
        field = along(field, axis, (1 - away.abs()).clamp_min(0))
    return field


def node_noise(shape: Shape, *, cell_mm: float, seed: int, channels: int = 1) -> Float[np.ndarray, "c x y z"]:
    """Draw noise at the nodes of `smooth_noise`; the same for the same seed on every device."""
    return noise((channels, *node_counts(shape, cell_mm)), seed=seed, device=torch.device("cpu")).numpy()


def node_counts(shape: Shape, cell_mm: float) -> Shape:
    """Return the number of nodes along each axis, corner to corner, about `cell_mm` apart."""
    i, j, k = (max(2, round(n / cell_mm) + 1) for n in shape)
    return i, j, k


def blur(volume: Volume, sigma_mm: float) -> Volume:
    """Blur with a Gaussian; the rim is repeated outward."""
    return blur_each(volume[None], torch.full((1,), sigma_mm, device=volume.device))[0]


def blur_each(volumes: Volumes, sigmas_mm: Float[Tensor, " b"]) -> Volumes:
    """Blur every item of a batch by its own sigma, as `blur` does.

    Each axis is one product with a band matrix: a convolution of one channel is what GPUs are slowest at.
    """
    x, sizes = volumes, volumes.shape[1:]
    matrices = {size: bands(size, sigmas_mm).to(x.dtype) for size in set(sizes)}
    for axis, size in enumerate(sizes):
        x = along(x, axis, matrices[size])
    return x


def blur_evenly(volumes: Volumes, sigma_mm: float) -> Volumes:
    """Blur every item by the same sigma; its matrices are cached."""
    x = volumes
    for axis, size in enumerate(volumes.shape[1:]):
        x = along(x, axis, _kept_bands(size, sigma_mm, volumes.device).to(x.dtype))
    return x


@cache
def _kept_bands(size: int, sigma_mm: float, device: torch.device) -> Float[Tensor, "1 n n"]:
    return bands(size, torch.full((1,), sigma_mm, device=device))


def along(volumes: Float[Tensor, "b i j k"], axis: int, matrices: Float[Tensor, "*#b m n"]) -> Float[Tensor, "b ..."]:
    """Multiply every line along an axis by its item's matrix, or by the only one if there is one.

    In the result m takes the place of n.
    """
    b, i, j, k = volumes.shape
    if axis == 0:
        return (matrices @ volumes.reshape(b, i, j * k)).unflatten(2, (j, k))
    if axis == 1:
        return matrices[:, None] @ volumes
    return volumes @ matrices[:, None].mT


def bands(size: int, sigmas: Float[Tensor, " b"]) -> Float[Tensor, "b n n"]:
    """Return the band matrices of a blur: row r holds the weights of a line's voxels in blurred voxel r.

    Rows sum to 1. The matrices are made on the device, which would otherwise wait for a busy processor.

    Args:
        size: voxels of a line.
        sigmas: of the Gaussians [voxels]; at most 0.05 is no blur, and a third of a line the most.
    """
    sigma = sigmas.clamp_min(_NO_BLUR)[:, None]
    away = torch.arange(2 * size, device=sigmas.device)
    taps = torch.exp(-0.5 * (away / sigma) ** 2) * (away <= torch.ceil(3 * sigma).clamp_min(1))  # by distance
    taps = taps / (2 * taps.sum(1, keepdim=True) - 1)
    place = away[:size]
    weights = taps[:, (place[:, None] - place).abs()]
    beyond = taps.flip(1).cumsum(1).flip(1)  # total weight at or beyond each distance: the rim is repeated outward
    weights[:, :, 0] += beyond[:, 1 : size + 1]
    weights[:, :, -1] += beyond[:, 1 : size + 1].flip(1)
    return weights


def blur_wide(volume: Volume, sigma_mm: float) -> Volume:
    """Blur widely, at half the resolution."""
    return blur_wide_each(volume[None], sigma_mm)[0]


def blur_wide_each(volumes: Volumes, sigma_mm: float) -> Volumes:
    """Blur all items of a batch widely, as `blur_wide` does."""
    coarse = blur_evenly(F.avg_pool3d(volumes, 2), sigma_mm / 2)
    return F.interpolate(coarse[:, None], size=volumes.shape[1:], mode="trilinear")[:, 0]


def gradient(volume: Volume) -> Vectors:
    """Return central differences per voxel."""
    return torch.stack(torch.gradient(volume))


def identity(shape: Shape, *, device: torch.device) -> Vectors:
    """Return the index of each voxel."""
    axes = [torch.arange(n, device=device, dtype=torch.float32) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def look_up(
    volumes: Shaped[Tensor, "c i j k"],
    index: Float[Tensor, "3 i2 j2 k2"],
    *,
    nearest: bool = False,
    repeat_rim: bool = False,
) -> Float[Tensor, "c i2 j2 k2"]:
    """Interpolate `volumes` at fractional voxel indices; outside, the value is 0 or that of the rim."""
    return look_up_each(volumes[None], index[None], nearest=nearest, repeat_rim=repeat_rim)[0]


def look_up_each(
    volumes: Shaped[Tensor, "b c i j k"],
    index: Float[Tensor, "b 3 i2 j2 k2"],
    *,
    nearest: bool = False,
    repeat_rim: bool = False,
) -> Float[Tensor, "b c i2 j2 k2"]:
    """Interpolate every item of a batch at its own indices, as `look_up` does."""
    first, times = _units((volumes.shape[2], volumes.shape[3], volumes.shape[4]), index.device)
    unit = torch.addcmul(first, index, times)
    points = unit.flip(1).permute(0, 2, 3, 4, 1)
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(
        volumes.float(), points, mode=mode, padding_mode="border" if repeat_rim else "zeros", align_corners=False
    )


@cache
def _units(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the map from voxels to units in which -1 and 1 are the volume's faces, half a voxel outside.

    The two tensors are what to add, and what to multiply by.
    """
    sizes = torch.tensor(shape, dtype=torch.float32).view(3, 1, 1, 1)
    return (1 / sizes - 1).to(device), (2 / sizes).to(device)
