"""What an infarct is made of, as numbers."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from torch import Tensor

__all__ = ["NO_LESION", "Ingredients"]

_Number = TypeVar("_Number", float, Tensor)
_OFF = 9.0  # standard deviations: no noise gets there


class Ingredients(NamedTuple, Generic[_Number]):
    """What `insula.simulate.infarct` computes with: the same numbers for every kind of infarct.

    Of one infarct they are floats, of a batch tensors.
    """

    inset_mm: _Number
    """How far inside the outline the visible change ends."""
    border_mm: _Number
    """How soft that border is."""
    white_factor: _Number
    """Intensity of white matter that remains, relative to what was there."""
    grey_factor: _Number
    """And of grey matter."""
    flatness: _Number
    """How far what remains loses its structure and goes to the gliosis level, 0 to 1."""
    gliosis_level: _Number
    """That level."""
    texture: _Number
    """Unevenness of what remains, at 2 to 5 mm (standard deviation, relative)."""
    csf_cut: _Number
    """Standard normal quantile above which the core's noise is CSF; 9 for no cavity."""
    csf_soft: _Number
    """How gradually CSF and tissue mix, in standard deviations of that noise."""
    strands: _Number
    """Share of sheets and strands in that noise, 0 to 1; the rest are blobs."""
    regions: _Number
    """How much the share of CSF differs from region to region, in standard deviations."""
    rim_mm: _Number
    """Tissue between the outline and the cavity, but not towards the surface of the brain."""
    cavity_level: _Number
    """Level of the fluid."""
    swelling: _Number
    """How much of the CSF inside the outline is filled with tissue, 0 to 1."""
    ribbon_level: _Number
    """Level of a bright ribbon along the cortex."""
    ribbon_cut: _Number
    """Quantile of the noise above which there is one; 9 for none."""
    blood_level: _Number
    """Level of blood."""
    blood_cut: _Number
    """Quantile of the noise above which there is blood; 9 for none."""
    iron_level: _Number
    """Level of the dark rim around it."""
    pull_mm: _Number
    """Largest displacement of the neighbours: positive toward the lesion, negative away."""
    widening_mm: _Number
    """How much nearby ventricles and sulci widen; negative narrows them."""


NO_LESION: Ingredients[float] = Ingredients(0, 1, 1, 1, 0, 1, 0, _OFF, 1, 0, 0, 0, 0, 0, 1, _OFF, 1, _OFF, 1, 0, 0)
"""What changes nothing."""
