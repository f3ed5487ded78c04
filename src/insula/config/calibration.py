"""Calibration of a network's probabilities, fitted on validation cases."""

from __future__ import annotations

from typing import Any, NamedTuple

from insula.config.listing import knobs

__all__ = ["Calibration", "Facts", "Scaling"]

Facts = dict[str, float | int | str | list[str]]
"""Facts that a fit records about itself."""


class Scaling(NamedTuple):
    """Temperature and bias that turn a network's lesion logits into calibrated logits."""

    temperature: float = 1.0
    """Divisor of the logits."""
    bias: float = 0.0
    """Added after the division."""

    def __call__(self, logits: Any) -> Any:
        """Returns calibrated logits, for an array, a tensor or a number."""
        scaled = logits / self.temperature
        return scaled + self.bias if self.bias else scaled  # keeps an addition of 0 out of graphs

    def undo(self, calibrated: Any) -> Any:
        """Returns the network's own logits: the inverse of the scaling."""
        return (calibrated - self.bias) * self.temperature

    def then(self, other: Scaling) -> Scaling:
        """Returns the scaling that applies this one first and `other` second."""
        return Scaling(self.temperature * other.temperature, self.bias / other.temperature + other.bias)


@knobs
class Calibration:
    """Calibration stored with the weights; every value was fitted on cases that were not used in training."""

    temperature: float = 1.0
    """Divisor of the logits; above 1 where the network is overconfident."""
    bias: float = 0.0
    """Added to the divided logits; below 0 where the network predicts too much lesion."""
    volume: tuple[float, float] | None = None
    """How far the true volume lies below and above the predicted volume, in units of the case's own doubt
    (`volume_doubt`)."""
    volume_small: tuple[float, float] | None = None
    """Bounds like `volume` for masks under 1 ml, which may have missed a lesion; fitted on all cases if there were too
    few such masks. None if `volume` serves for all masks."""
    level: float = 0.9
    """Share of cases whose true volume lies between the bounds (0 to 1)."""
    lesion: tuple[float, float, float] | None = None
    """Logistic regression of `this lesion is real`: constant, weight of the mean logit, weight of the log volume
    [ml]."""
    least_chance: float = 0.0
    """Lesions under 10 ml that are less likely to be real than this, by `lesion`, are dropped (0 to 1)."""
    fitted_on: Facts | None = None
    """Cases, lesions, hashed subjects, and how well the fit held on each centre when it was left out of the fit."""

    @property
    def scaling(self) -> Scaling:
        """Temperature and bias as a `Scaling`."""
        return Scaling(self.temperature, self.bias)
