"""How a scan becomes what the network sees."""

from __future__ import annotations

from insula.config.listing import knobs
from insula.types import Shape

__all__ = ["PrepareConfig"]


@knobs
class PrepareConfig:
    """RAS+ order, one spacing, robust intensities, one box around the head."""

    box: Shape = (192, 224, 176)
    """Voxels along i, j, k; the whole brain fits. Divisible by 16."""
    spacing_mm: float = 1.0
    """Isotropic step of the box [mm]."""
    low_percentile: float = 10.0
    """Of the foreground; together with the next it sets the scale."""
    high_percentile: float = 90.0
    """Of the foreground."""
    clip: float = 4.0
    """Normalised intensities are clipped to +- this; keeps one bright vessel from mattering."""
