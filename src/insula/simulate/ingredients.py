"""The composition of an infarct, as numbers."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from torch import Tensor

__all__ = ["NO_LESION", "Ingredients"]

_Number = TypeVar("_Number", float, Tensor)
_OFF = 9.0  # standard deviations: no noise gets there


class Ingredients(NamedTuple, Generic[_Number]):
    """The numbers that `insula.simulate.infarct` computes with; the same for every kind of infarct.

    They are floats for one infarct and tensors for a batch.
    """

    inset_mm: _Number
    """Distance inside the outline at which the visible change ends."""
    border_mm: _Number
    """Width of that soft border."""
    white_factor: _Number
    """Intensity of remaining white matter, relative to before."""
    grey_factor: _Number
    """Intensity of remaining grey matter, relative to before."""
    flatness: _Number
    """How far the remaining tissue loses its structure and approaches the gliosis level, 0 to 1."""
    gliosis_level: _Number
    """Level of gliosis."""
    texture: _Number
    """Unevenness of the remaining tissue, at 2 to 5 mm (standard deviation, relative)."""
    csf_cut: _Number
    """Standard normal quantile above which the core's noise is CSF; 9 for no cavity."""
    csf_soft: _Number
    """How gradually CSF and tissue mix, in standard deviations of that noise."""
    strands: _Number
    """Share of sheets and strands in that noise, 0 to 1; the rest are blobs."""
    regions: _Number
    """How much the share of CSF differs from region to region, in standard deviations."""
    rim_mm: _Number
    """Width of the tissue between outline and cavity, except towards the surface of the brain."""
    cavity_level: _Number
    """Level of the fluid."""
    swelling: _Number
    """Share of the CSF inside the outline that tissue fills, 0 to 1."""
    ribbon_level: _Number
    """Level of a bright ribbon along the cortex."""
    ribbon_cut: _Number
    """Quantile of the noise above which there is a ribbon; 9 for none."""
    blood_level: _Number
    """Level of blood."""
    blood_cut: _Number
    """Quantile of the noise above which there is blood; 9 for none."""
    iron_level: _Number
    """Level of the dark rim around blood."""
    pull_mm: _Number
    """Largest displacement of the neighbouring tissue: positive toward the lesion, negative away."""
    widening_mm: _Number
    """How much nearby ventricles and sulci widen; negative narrows them."""


NO_LESION: Ingredients[float] = Ingredients(0, 1, 1, 1, 0, 1, 0, _OFF, 1, 0, 0, 0, 0, 0, 1, _OFF, 1, _OFF, 1, 0, 0)
"""Ingredients that change nothing."""
