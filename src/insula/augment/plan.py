"""The plan of an augmentation: what will happen to a case, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from insula.augment.graft import LesionGrafts
from insula.augment.levels import Levels
from insula.config import AugmentConfig
from insula.simulate import Confounders, Deformation, Outline, ScannerLook, Tissue
from insula.types import Shape

__all__ = ["Augmentation", "Paint", "tones"]


@dataclass(frozen=True, kw_only=True)
class Paint:
    """A T1w-like intensity for each tissue of a label map."""

    palette: tuple[float, ...]
    """Intensities in the order of `Tissue`; white matter is 1."""
    share: float = 1.0
    """Share of the painted image; the rest is the scan."""
    texture: float = 0.03
    """Unevenness at a few millimetres."""
    blur_mm: float = 0.6
    """Blur of the borders between tissues (sigma)."""
    seed: int = 0
    """Seed of the texture."""


def tones(levels: Levels, paint: Paint | None) -> tuple[float, float]:
    """Return the levels of CSF and of grey matter in a head, painted or not."""
    if paint is None:
        return levels.csf, levels.grey
    csf, grey = (paint.palette[kind] for kind in (Tissue.VENTRICLE, Tissue.CORTEX))
    share = paint.share
    return (1 - share) * levels.csf + share * csf, (1 - share) * levels.grey + share * grey


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """One drawn augmentation, to print or to replay. The default leaves a case unchanged."""

    lesions: LesionGrafts | None = None
    """Additional lesions."""
    deformation: Deformation | None = None
    """Change of anatomy."""
    confounders: Confounders | None = None
    """Structures that look like a lesion and are none."""
    paint: Paint | None = None
    """Another contrast, painted from a label map."""
    strip: float | None = None
    """Skull strip, 0 to 1: 0.5 cuts at the brain's border, lower values leave a rim around it; None for none."""
    deface: bool = False
    """Whether the face is removed."""
    scanner: ScannerLook | None = None
    """Another scanner."""

    @classmethod
    def sample(
        cls, rng: np.random.Generator, config: AugmentConfig, *, box: Shape, outlines: Sequence[Outline] = ()
    ) -> Augmentation:
        """Draw an augmentation for a case of a cohort.

        Args:
            rng: the source of chance.
            config: how often each kind is drawn.
            box: voxels of the case along each axis.
            outlines: the cohort's lesions, to graft; empty for no grafts.
        """
        grafts, deforms, strips, scans = rng.random(4) < (
            config.graft_fraction if outlines else 0.0,
            config.deform_fraction,
            config.strip_fraction,
            config.scan_fraction,
        )
        return cls(
            lesions=LesionGrafts.sample(rng, outlines, box) if grafts else None,
            deformation=Deformation.sample(rng, strength=config.strength, shift_mm=config.shift_mm)
            if deforms
            else None,
            strip=0.5 if strips else None,
            scanner=ScannerLook.sample(rng, artefacts=config.artefact_chance) if scans else None,
        )
