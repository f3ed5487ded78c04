"""Augmentation of the cases seen in training."""

from __future__ import annotations

from insula.config.listing import knobs

__all__ = ["AugmentConfig"]


@knobs
class AugmentConfig:
    """How often each kind of augmentation is drawn; 0 everywhere leaves a case as it is."""

    deform_fraction: float = 0.8
    """Share of cases that are deformed: affine, elastic, left and right swapped in half of them."""
    strength: float = 1.0
    """Strength of the deformation; 1 covers the differences between adult heads."""
    shift_mm: float = 6.0
    """Largest shift of a head along each axis [mm]."""
    scan_fraction: float = 0.7
    """Share of cases that are scanned again in simulation: bias field, contrast, blur, thick slices, noise."""
    artefact_chance: float = 0.1
    """Chance of each artefact (ghosts, movement, spike) in a case that is scanned again."""
    strip_fraction: float = 0.2
    """Share of cases that are skull-stripped, if they have a skull."""
    graft_fraction: float = 0.2
    """Share of cases that also receive a lesion with the outline of another of the cohort's lesions."""
    synthetic_fraction: float = 0.0
    """Share of a batch's items that are simulated heads instead of cases; needs hosts or label maps."""
    synthetic_painted: bool = True
    """Whether all simulated heads are painted from label maps; otherwise they are drawn as `[simulate]` says."""
