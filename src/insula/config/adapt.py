"""Adaptation of weights to the scans of one hospital."""

from __future__ import annotations

from insula.config.listing import knobs

__all__ = ["AdaptConfig"]


@knobs
class AdaptConfig:
    """Knobs of an adaptation."""

    steps: int = 400
    """Steps of each fine-tuning; there is one for each fold, and one on all cases."""
    folds: int = 5
    """Number of parts that are left out in turn; at most one for each subject."""
    lr: float = 3e-5
    """Peak learning rate."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, or one of several GPUs: `cuda`, a colon, and its number from 0, as in torch."""
    seed: int = 0
    """Seed of all random numbers."""
