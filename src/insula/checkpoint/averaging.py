"""Several networks as one: the mean of their weights."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch

from insula.checkpoint.weights import Weights
from insula.config import Calibration, Scaling
from insula.errors import BadData, UsageError
from insula.models import build_model

__all__ = ["soup"]


def soup(members: Sequence[Weights], name: str) -> Weights:
    """One network whose every parameter and statistic is the mean of the members'.

    It costs what one network costs. It is worth something where the networks went on from the same weights: those of other beginnings have
    no mean that means anything.

    Args:
        members: of one network each, of one model, for scans prepared in one way.
        name: what the mean will be called.

    Returns:
        Weights that are not calibrated, with the mean of the thresholds; their provenance holds the members'.

    Raises:
        UsageError: one alone.
        BadData: several models, or several ways to prepare; or the members did not go on from the same weights.

    Source:
        Wortsman 2022, Model soups, arXiv 2203.05482.
    """
    first = members[0].card
    if len(members) < 2:
        rule = "are one network, and a mean is of several"
        raise UsageError("the weights", first.name, rule, "name several, joined by commas")
    for member in members:
        if (member.card.model, member.card.prepare) != (first.model, first.prepare):
            rule = f"are of another model than {first.name}, or want scans prepared in another way"
            raise BadData("the weights", member.card.name, rule, "name weights that went on from the same ones")
    if not set.intersection(*(_line(member) for member in members)):
        rule = "did not go on from the same weights, and their mean would be no network"
        raise BadData("the weights", ", ".join(one.card.name for one in members), rule, "train on with --from-weights")
    states = [member.model.state_dict() for member in members]
    mean = build_model(first.model).eval()
    mean.load_state_dict(
        {
            key: torch.stack([state[key] for state in states]).mean(0) if value.is_floating_point() else value
            for key, value in states[0].items()
        }
    )
    told = [{"name": one.card.name, "sha256": one.sha256, **one.card.provenance} for one in members]
    card = replace(
        first,
        name=name,
        calibration=Calibration(),
        threshold=statistics.mean(one.card.threshold for one in members),
        min_lesion_ml=statistics.mean(one.card.min_lesion_ml for one in members),
        provenance={"trained_on": first.provenance.get("trained_on", "unknown"), "mean_of": told},
    )
    sha = hashlib.sha256(b"the mean of " + "".join(one.sha256 for one in members).encode()).hexdigest()
    return Weights(networks=((mean, Scaling()),), card=card, sha256=sha)


def _line(weights: Weights) -> set[str]:
    """SHA-256 of the weights and of all that they came from."""
    found, left = {weights.sha256}, [weights.card.provenance]
    while left:
        told = left.pop()
        before = [*([told["started_from"]] if "started_from" in told else []), *told.get("mean_of", [])]
        found |= {one["sha256"] for one in before if "sha256" in one}
        left += before
    return found
