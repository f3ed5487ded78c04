"""Intensities without a scanner's unit."""

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
    """How a scan's intensities map to the network's: (value - middle) / width."""

    middle: float
    """Median of the foreground."""
    width: float
    """Between the foreground's low and high percentile; above 0."""
    background: float
    """The scan's own middle level of air, for padding."""


def measure(image: Float[Tensor, "i j k"], config: PrepareConfig) -> Scale:
    """Measure a whole volume, before any crop, on an even subsample of about a million voxels.

    Foreground is what exceeds a tenth of the way from the darkest to the brightest percent. A volume without
    contrast gets width 1.

    Args:
        image: finite, any scale, negative values allowed.
        config: which percentiles.
    """
    step = max(1, round((image.numel() / _SAMPLE) ** (1 / 3)))
    values = image[::step, ::step, ::step].flatten().float().sort().values
    middle, width, background = measure_each(values[None], config)[0].tolist()
    return Scale(middle, width, background)


def measure_each(values: Float[Tensor, "b n"], config: PrepareConfig) -> Float[Tensor, "b 3"]:
    """As `measure`, from intensities in rising order or an even sample of them, one row a volume.

    Returns:
        What `Scale` holds, in its order, double precision; a device is not waited for.
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
    """Apply a scale and clip; padding of value `scale.background` becomes what most of the air becomes."""
    return ((image - scale.middle) / scale.width).clamp(-config.clip, config.clip)


def normalise_each(
    images: Float[Tensor, "b i j k"], scales: Float[Tensor, "b 3"], config: PrepareConfig
) -> Float[Tensor, "b i j k"]:
    """As `normalise`, every item of a batch by its row of `measure_each`."""
    middle, width, _ = scales.float().T[:, :, None, None, None]
    return ((images - middle) / width).clamp(-config.clip, config.clip)


def normalised(image: Float[Tensor, "i j k"], config: PrepareConfig) -> Float[Tensor, "i j k"]:
    """A whole volume on its own scale, measured and applied."""
    return normalise(image, measure(image, config), config)


def _at(ordered: Float[Tensor, "b n"], rank: Tensor) -> Float[Tensor, " b"]:
    return ordered.gather(1, rank[:, None])[:, 0].double()
