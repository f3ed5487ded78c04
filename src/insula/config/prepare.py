"""Preparation of a scan for the network."""

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
    """Percentile of the foreground; sets the intensity scale together with `high_percentile`."""
    high_percentile: float = 90.0
    """Percentile of the foreground."""
    clip: float = 4.0
    """Normalised intensities are clipped to +- this, so that a single bright vessel does not matter."""
