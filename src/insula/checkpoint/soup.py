"""Several networks as one: the mean of their weights."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch

from insula.checkpoint.weights import Weights
from insula.config import Calibration
from insula.errors import BadData, UsageError
from insula.models import build_model

__all__ = ["soup"]


def soup(weights: Weights, name: str) -> Weights:
    """One network whose every parameter and statistic is the mean of an ensemble's.

    It costs what one network costs. It is worth something where the networks went on from the same weights: those of other beginnings have
    no mean that means anything.

    Args:
        weights: of several networks of one architecture.
        name: what the mean will be called.

    Returns:
        Uncalibrated weights, the thresholds of the ensemble.

    Raises:
        UsageError: one network.
        BadData: networks of several architectures.

    Source:
        Wortsman 2022, Model soups, arXiv 2203.05482.
    """
    networks = [network for network, _ in weights.networks]
    if len(networks) < 2:
        rule = "are one network, and a mean is of several"
        raise UsageError("the weights", weights.card.name, rule, "name several, joined by commas, or a folder of folds")
    states = [network.state_dict() for network in networks]
    shapes = [{key: tuple(value.shape) for key, value in state.items()} for state in states]
    if any(type(network) is not type(networks[0]) for network in networks) or any(x != shapes[0] for x in shapes):
        rule = "are of several architectures, and have no mean"
        raise BadData("the weights", weights.card.name, rule, "name weights that went on from the same ones")
    mean = build_model(weights.card.model).eval()
    mean.load_state_dict({
        key: torch.stack([state[key] for state in states]).mean(0) if first.is_floating_point() else first
        for key, first in states[0].items()
    })  # fmt: skip
    card = replace(
        weights.card, name=name, calibration=Calibration(), provenance={**weights.card.provenance, "mean_of_weights": True}
    )  # fmt: skip
    sha = hashlib.sha256(f"the mean of {weights.sha256}".encode()).hexdigest()
    return Weights(networks=((mean, 1.0),), card=card, sha256=sha)
