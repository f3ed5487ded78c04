"""What happens to a case each time that training sees it."""

from __future__ import annotations

from insula.config.listing import knobs

__all__ = ["AugmentConfig"]


@knobs
class AugmentConfig:
    """How often each kind of augmentation is drawn; 0 everywhere leaves a case as it is."""

    deform_fraction: float = 0.8
    """Cases that get another anatomy: affine, elastic, left and right exchanged in half of them."""
    strength: float = 1.0
    """Of the deformation; 1 covers the differences between adult heads."""
    shift_mm: float = 6.0
    """Farthest a head is moved along each axis."""
    scan_fraction: float = 0.7
    """Cases that are scanned again: bias field, contrast, blur, thick slices, noise."""
    artefact_chance: float = 0.1
    """Of each of ghosts, a movement and a spike, for a case that is scanned again."""
    strip_fraction: float = 0.2
    """Cases whose skull is taken off, where there is one."""
    graft_fraction: float = 0.2
    """Cases that get the outline of one of the cohort's lesions as well."""
    synthetic_fraction: float = 0.0
    """Items of a batch that are heads painted from label maps instead of cases; needs label maps."""
