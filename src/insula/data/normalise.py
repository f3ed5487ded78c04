"""Intensities without a scanner's unit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from insula.config import PrepareConfig

__all__ = ["Scale", "measure", "measure_sorted", "normalise", "normalised"]

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
    return measure_sorted(image[::step, ::step, ::step].flatten().float().sort().values, config)


def measure_sorted(values: Float[Tensor, " n"], config: PrepareConfig) -> Scale:
    """As `measure`, from a volume's intensities in rising order, or from an even sample of them."""
    low, high = _at(values, 1.0), _at(values, 99.5)
    border = int(torch.searchsorted(values, values.new_tensor(low + 0.1 * (high - low))))
    foreground = values[border:]
    middle = _at(foreground, 50.0)
    width = _at(foreground, config.high_percentile) - _at(foreground, config.low_percentile)
    return Scale(
        middle=middle,
        width=width if width > 0 else max(abs(high - low), 1e-30),
        background=_at(values[: max(1, border)], 50.0),
    )


def normalise(image: Float[Tensor, "i j k"], scale: Scale, config: PrepareConfig) -> Float[Tensor, "i j k"]:
    """Apply a scale and clip; padding of value `scale.background` becomes what most of the air becomes."""
    return ((image - scale.middle) / scale.width).clamp(-config.clip, config.clip)


def normalised(image: Float[Tensor, "i j k"], config: PrepareConfig) -> Float[Tensor, "i j k"]:
    """A whole volume on its own scale, measured and applied."""
    return normalise(image, measure(image, config), config)


def _at(ordered: Tensor, percentile: float) -> float:
    return float(ordered[round((ordered.numel() - 1) * percentile / 100)])
