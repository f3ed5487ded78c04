"""Intensity scale of a scan, and normalisation by it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from insula.config import PrepareConfig

__all__ = ["Scale", "measure", "measure_each", "normalise", "normalise_each", "normalised"]

_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Scale:
    """Linear map from a scan's intensities to the network's: (value - middle) / width."""

    middle: float
    """Median of the foreground."""
    width: float
    """Difference between the foreground's high and low percentiles; above 0."""
    background: float
    """Median intensity of the scan's air, used for padding."""


def measure(image: Float[Tensor, "i j k"], config: PrepareConfig) -> Scale:
    """Measure the scale of a whole volume, before any crop, on about a million evenly spaced voxels.

    The foreground is what exceeds a tenth of the way from the 1st to the 99.5th percentile of the volume. If its own
    percentiles coincide, that whole range is the width.

    Args:
        image: finite, any scale, negative values allowed.
        config: percentiles of the foreground.
    """
    step = max(1, round((image.numel() / _SAMPLE) ** (1 / 3)))
    values = image[::step, ::step, ::step].flatten().float().sort().values
    middle, width, background = measure_each(values[None], config)[0].tolist()
    return Scale(middle, width, background)


def measure_each(values: Float[Tensor, "b n"], config: PrepareConfig) -> Float[Tensor, "b 3"]:
    """Measure the scales of several volumes from their intensities in rising order, or an even sample of them.

    Args:
        values: one row per volume, in rising order.
        config: percentiles of the foreground.

    Returns:
        One row per volume: the fields of `Scale` in their order, double precision. The device is not waited for.
    """
    count = values.shape[1]
    low, high = (values[:, round((count - 1) * percent / 100)].double() for percent in (1.0, 99.5))
    border = (values < (low + 0.1 * (high - low)).float()[:, None]).sum(1)  # where the foreground begins
    left = count - 1 - border

    def of_foreground(percent: float) -> Tensor:
        return _at(values, border + torch.round(left.double() * (percent / 100)).long())

    width = of_foreground(config.high_percentile) - of_foreground(config.low_percentile)
    flat = (high - low).abs().clamp_min(1e-30)
    background = _at(values, torch.round((border - 1).clamp_min(0).double() * 0.5).long())
    return torch.stack([of_foreground(50.0), torch.where(width > 0, width, flat), background], dim=1)


def normalise(image: Float[Tensor, "i j k"], scale: Scale, config: PrepareConfig) -> Float[Tensor, "i j k"]:
    """Apply a scale to an image and clip; padding with `scale.background` gets the value of most of the air."""
    return ((image - scale.middle) / scale.width).clamp(-config.clip, config.clip)


def normalise_each(
    images: Float[Tensor, "b i j k"], scales: Float[Tensor, "b 3"], config: PrepareConfig
) -> Float[Tensor, "b i j k"]:
    """Normalise each item of a batch by its row of `measure_each`, and clip."""
    middle, width, _ = scales.float().T[:, :, None, None, None]
    return ((images - middle) / width).clamp(-config.clip, config.clip)


def normalised(image: Float[Tensor, "i j k"], config: PrepareConfig) -> Float[Tensor, "i j k"]:
    """Measure the scale of a whole volume and apply it."""
    return normalise(image, measure(image, config), config)


def _at(ordered: Float[Tensor, "b n"], rank: Tensor) -> Float[Tensor, " b"]:
    return ordered.gather(1, rank[:, None])[:, 0].double()
