"""What a validation part has taught about a network's probabilities."""

from __future__ import annotations

from insula.config.knobs import knobs

__all__ = ["Calibration"]


@knobs
class Calibration:
    """Stored with the weights; every value in it was fitted on cases that trained nothing."""

    temperature: float = 1.0
    """The logits are divided by it; above 1 where the network is too sure."""
    volume: tuple[float, float] | None = None
    """How far the true volume lies below and above the predicted one, in units of a case's own doubt."""
    volume_small: tuple[float, float] | None = None
    """The same for masks under 1 ml, which may have missed a lesion; None where too few were seen to tell them apart."""
    level: float = 0.9
    """Share of cases whose true volume lies between them."""
    lesion: tuple[float, float, float] | None = None
    """Logistic regression of `this lesion is real`: constant, weight of its mean logit, of the log of its volume [ml]."""
    least_chance: float = 0.0
    """Lesions whose chance to be real, by `lesion`, is smaller are dropped."""
    fitted_on: dict[str, float | int | str] | None = None
    """Cases, lesions, cohort hash, and how well it held when each centre was left out of the fit in turn."""
