"""The mean of several networks' weights, as one network (a model soup)."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch

from insula.checkpoint.seen import who_was_seen
from insula.checkpoint.weights import Card, Weights
from insula.config import Calibration, Scaling
from insula.errors import BadData, UsageError
from insula.models import build_model

__all__ = ["soup"]


def soup(members: Sequence[Weights], name: str) -> Weights:
    """Average the weights of several networks into one network.

    Every parameter and statistic is the mean of the members'. The result costs what a single network costs. The mean is
    meaningful only for networks that were trained on from the same weights.

    Args:
        members: weights of single networks, all of the same model, for scans prepared in the same way.
        name: name of the mean.

    Returns:
        Uncalibrated weights, whose threshold is the mean of the members' before calibration; their provenance holds
        the members'.

    Raises:
        UsageError: there is only one member.
        BadData: the models or the ways to prepare scans differ, or the members were not trained on from the same
            weights.

    Source:
        Wortsman 2022, Model soups, arXiv 2203.05482.
    """
    first = members[0].card
    if len(members) < 2:
        rule = "are a single network, and a mean needs several"
        raise UsageError("the weights", first.name, rule, "name several, joined by commas")
    for member in members:
        if (member.card.model, member.card.prepare) != (first.model, first.prepare):
            rule = f"have another model than {first.name}, or need scans prepared in another way"
            raise BadData(
                "the weights", member.card.name, rule, "name weights that were trained on from the same weights"
            )
    if not set.intersection(*(_lineage(member) for member in members)):
        rule = "were not trained on from the same weights, so their mean is meaningless"
        raise BadData(
            "the weights", ", ".join(member.card.name for member in members), rule, "train on with `from_weights`"
        )
    states = [member.model.state_dict() for member in members]
    mean = build_model(first.model).eval()
    mean.load_state_dict(
        {
            key: torch.stack([state[key] for state in states]).mean(0) if value.is_floating_point() else value
            for key, value in states[0].items()
        }
    )
    provenances = [{**member.origin, **who_was_seen(member.card)} for member in members]
    card = replace(
        first,
        name=name,
        calibration=Calibration(),
        threshold=_mean_threshold([member.card for member in members]),
        min_lesion_ml=statistics.mean(member.card.min_lesion_ml for member in members),
        provenance={"trained_on": first.provenance.get("trained_on", "unknown"), "mean_of": provenances},
    )
    sha = hashlib.sha256(b"the mean of " + "".join(member.sha256 for member in members).encode()).hexdigest()
    return Weights(networks=((mean, Scaling()),), card=card, sha256=sha)


def _mean_threshold(cards: Sequence[Card]) -> float:
    """Returns the mean of the thresholds on the networks' own logits, as a probability: the mean has no calibration."""
    thresholds = torch.tensor([card.threshold for card in cards], dtype=torch.float64).logit(eps=1e-6).tolist()
    own = [card.calibration.scaling.undo(logit) for card, logit in zip(cards, thresholds, strict=True)]
    mean = torch.tensor(statistics.mean(own), dtype=torch.float64).sigmoid().clamp(1e-6, 1 - 1e-6)
    return float(f"{float(mean):.6g}")


def _lineage(weights: Weights) -> set[str]:
    """Returns the SHA-256 of the weights and of all weights that they descend from."""
    hashes, pending = {weights.sha256}, [weights.card.provenance]
    while pending:
        provenance = pending.pop()
        parents = [
            *([provenance["started_from"]] if "started_from" in provenance else []),
            *provenance.get("mean_of", []),
        ]
        hashes |= {parent["sha256"] for parent in parents if "sha256" in parent}
        pending += parents
    return hashes
