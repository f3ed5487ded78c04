"""What a validation part has taught about a network's probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple

from insula.config.listing import knobs

__all__ = ["Calibration", "Facts", "Scaling"]

Facts = dict[str, float | int | str | list[str]]
"""What a fit says of itself."""


class Scaling(NamedTuple):
    """What makes calibrated logits of a network's lesion logits."""

    temperature: float = 1.0
    """They are divided by it."""
    bias: float = 0.0
    """Added then."""

    def __call__(self, logits: Any) -> Any:
        """Calibrated logits; an array, a tensor or a number."""
        scaled = logits / self.temperature
        return scaled + self.bias if self.bias else scaled  # no addition of 0 in a graph

    def undo(self, calibrated: Any) -> Any:
        """The network's own logits."""
        return (calibrated - self.bias) * self.temperature

    def then(self, other: Scaling) -> Scaling:
        """Both, one after the other."""
        return Scaling(self.temperature * other.temperature, self.bias / other.temperature + other.bias)


@knobs
class Calibration:
    """Stored with the weights; every value in it was fitted on cases that trained nothing."""

    temperature: float = 1.0
    """The logits are divided by it; above 1 where the network is too sure."""
    bias: float = 0.0
    """Added to them then; below 0 where the network sees too much."""
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
    fitted_on: Facts | None = None
    """Cases, lesions, hashed subjects, and how well it held when each centre was left out of the fit in turn."""

    @property
    def scaling(self) -> Scaling:
        """Temperature and bias."""
        return Scaling(self.temperature, self.bias)
