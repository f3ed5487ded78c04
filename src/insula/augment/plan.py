"""What will happen to a case, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from insula.augment.graft import Graft
from insula.config import AugmentConfig
from insula.simulate import Deformation, ScannerLook

__all__ = ["Augmentation"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """One draw: print it, replay it. The default leaves a case as it is."""

    graft: Graft | None = None
    """A lesion more."""
    deformation: Deformation | None = None
    """Another anatomy."""
    strip: bool = False
    """The skull taken off."""
    scanner: ScannerLook | None = None
    """Another scanner."""

    @classmethod
    def sample(cls, rng: np.random.Generator, config: AugmentConfig, *, donors: int = 0) -> Augmentation:
        """Draw one.

        Args:
            rng: the source of chance.
            config: how often each kind is drawn.
            donors: how many lesions there are to graft; 0 for no grafts.
        """
        grafts, deforms, strips, scans = rng.random(4) < (
            config.graft_fraction if donors else 0.0,
            config.deform_fraction,
            config.strip_fraction,
            config.scan_fraction,
        )
        return cls(
            graft=Graft.sample(rng, donors=donors) if grafts else None,
            deformation=Deformation.sample(rng, strength=config.strength, shift_mm=config.shift_mm) if deforms else None,
            strip=bool(strips),
            scanner=ScannerLook.sample(rng, artefacts=config.artefact_chance) if scans else None,
        )  # fmt: skip
