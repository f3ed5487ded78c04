"""The result of segmenting one scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
from jaxtyping import Float

from insula.config import Calibration
from insula.postprocess import SPREAD, Lesion, brain_flags, volume_doubt, volume_interval
from insula.types import Flag
from insula.volume import Mask, Scan

__all__ = ["Correction", "Provenance", "Result", "WeightsProvenance"]

_SPIN_ECHO = frozenset({"spin-echo", "grey-like-white"})  # flags


class WeightsProvenance(TypedDict):
    """The weights of a result."""

    name: str
    sha256: str
    """SHA-256 of their tensor file."""
    trained_on: str
    """The data, in words."""
    members: NotRequired[list[dict[str, object]]]
    """The provenance of each network of an ensemble."""


class Provenance(TypedDict):
    """Everything needed to repeat a result."""

    insula: str
    """Version of insula."""
    inputs_sha256: str
    """Hash of scan, weights, settings and version; a result with the same hash need not be computed again."""
    weights: WeightsProvenance
    inference: dict[str, object]
    """Device, precision and settings of the inference."""
    versions: dict[str, str]
    """Versions of Python and of the libraries."""
    machine: str


@dataclass(frozen=True, eq=False)
class Correction:
    """Tells that a person's mask took the place of the network's."""

    network: Mask | None
    """The network's mask; None if it is lost."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Result:
    """The lesion mask, its uncertainty and its provenance, all on the scan's own grid."""

    scan: Scan
    """The scan that was segmented."""
    mask: Mask
    """The lesion mask."""
    prob: Float[np.ndarray, "i j k"]
    """Probability of lesion, float32, calibrated if the weights are; 0 outside the network's box and the brain."""
    lesions: tuple[Lesion, ...]
    """The connected components of the mask, largest first."""
    threshold: float
    """Probability from which a voxel counts as lesion."""
    flags: tuple[Flag, ...]
    """The flags of every step, from reading the file to deciding the mask."""
    provenance: Provenance
    """Weights, versions, device and precision: everything needed to repeat the result."""
    calibration: Calibration = Calibration()
    """The calibration of the weights."""
    brain: Mask | None = None
    """The brain, one component without holes; None if the weights have no brain output."""
    correction: Correction | None = None
    """Set if a person corrected the mask; None if it is the network's."""

    def __repr__(self) -> str:
        count, warnings = len(self.lesions), sum(flag.severity == "warning" for flag in self.flags)
        words = f"{self.volume_ml:.2f} ml in {count} lesion{'' if count == 1 else 's'}"
        return f"<Result of {self.scan.name}: {words}{f', warnings: {warnings}' if warnings else ''}>"

    @property
    def volume_interval_ml(self) -> tuple[float, float] | None:
        """The interval of the true volume [ml] at the calibration's level.

        None for weights without intervals, and for a spin echo: of 24 simulated ones with slices of 1 and 5 mm, 14 and
        18 intervals hold, of the same heads as they are 23 (`python -m studies.robustness`).
        """
        if self.is_spin_echo:
            return None
        wide, narrow = (self.volume_ml_at(threshold) for threshold in SPREAD)
        interval = volume_interval(self.volume_ml, volume_doubt(wide, narrow), self.calibration)
        if interval is None or self.brain_volume_ml is None or brain_flags(self.brain):
            return interval
        return min(interval[0], self.brain_volume_ml), min(
            interval[1], self.brain_volume_ml
        )  # no lesion exceeds its brain

    @property
    def is_spin_echo(self) -> bool:
        """Whether a flag says that the scan is a spin echo, or that its contrast is one's."""
        return any(flag.code in _SPIN_ECHO for flag in self.flags)

    @property
    def volume_ml(self) -> float:
        """The lesion volume [ml]."""
        return self.mask.volume_ml

    @property
    def brain_volume_ml(self) -> float | None:
        """The brain volume [ml], lesion included; None where no brain is known."""
        return None if self.brain is None else self.brain.volume_ml

    @property
    def lesion_share(self) -> float | None:
        """Lesion volume / brain volume, 0 to 1; None where no brain is known, or none was found."""
        return self.volume_ml / self.brain_volume_ml if self.brain_volume_ml else None

    @property
    def reason(self) -> str | None:
        """Why the mask is empty; None when it is not."""
        if self.mask.voxels.any():
            return None
        if self.correction is not None:
            return "the corrected mask is empty"
        if self.brain is not None and not self.brain.voxels.any():
            return "no lesion found: the network sees no brain in this scan"
        peak = float(self.prob.max())
        if peak < self.threshold:
            return f"no lesion found: the highest probability is {peak:.2f}, below the threshold {self.threshold:.3g}"
        rule = "is too small or too unlikely to be a lesion"
        return f"no lesion found: everything above the threshold {self.threshold:.3g} {rule}"

    def volume_ml_at(self, threshold: float) -> float:
        """The volume [ml] that another threshold would give, small lesions included."""
        return float(np.count_nonzero(self.prob >= threshold)) * self.scan.grid.voxel_ml
