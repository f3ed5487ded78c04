"""The mean of weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from insula.checkpoint import Card, Weights, soup, who_was_seen
from insula.config import AttentionUNet, Calibration, PrepareConfig, Scaling
from insula.errors import BadData, UsageError
from insula.models import UNet, build_model

_CARD = Card(
    name="w",
    model=AttentionUNet(widths=(2, 4), norm="batch"),
    prepare=PrepareConfig(),
    calibration=Calibration(temperature=2.0),
    provenance={"trained_on": "heads", "steps": 5, "started_from": {"sha256": "start"}},
)


def _networks(count: int) -> list[UNet]:
    networks = []
    for seed in range(count):
        torch.manual_seed(seed)
        networks.append(build_model(_CARD.model))
        networks[-1].train()(torch.randn(2, 1, 16, 16, 16))
    return networks


def _members(networks: list[UNet], card: Card = _CARD) -> list[Weights]:
    return [
        Weights(
            networks=((network.eval(), Scaling()),),
            card=replace(card, name=f"w{n}", threshold=0.4 + 0.2 * n),
            sha256=f"{n}",
        )
        for n, network in enumerate(networks)
    ]


def test_every_number_is_the_mean_and_counts_are_the_first_ones() -> None:
    networks = _networks(3)
    mean = soup(_members(networks), "mean")
    for key, value in mean.model.state_dict().items():
        parts = torch.stack([network.state_dict()[key] for network in networks])
        torch.testing.assert_close(value, parts.mean(0) if value.is_floating_point() else parts[0], msg=key)
    assert not mean.model.training


def test_its_calibration_is_nobodys_and_its_provenance_everybodys() -> None:
    mean = soup(_members(_networks(2)), "mean")
    assert mean.card.calibration == Calibration()
    assert (mean.card.name, mean.card.threshold) == ("mean", pytest.approx(0.5))
    assert mean.card.provenance == {
        "trained_on": "heads",
        "mean_of": [
            {"name": f"w{n}", "sha256": f"{n}", "trained_on": "heads", "steps": 5, "started_from": {"sha256": "start"}}
            for n in range(2)
        ],
    }


def test_its_threshold_is_of_its_own_logits_for_it_has_no_calibration() -> None:
    """0.7 after a temperature of 3 and a bias of -1 is 3 (ln(7/3) + 1) before them."""
    calibrated = replace(_CARD, calibration=Calibration(temperature=3.0, bias=-1.0, fitted_on={"subjects": ["a"]}))
    members = [replace(w, card=replace(w.card, threshold=0.7)) for w in _members(_networks(2), calibrated)]
    mean = soup(members, "mean")
    assert math.log(mean.card.threshold / (1 - mean.card.threshold)) == pytest.approx(
        3 * (math.log(7 / 3) + 1), rel=1e-3
    )
    assert who_was_seen(mean.card) == {"fitted_subjects": ["a"]}
    for extreme in (1e-300, 1.0):
        again = soup([replace(w, card=replace(w.card, threshold=extreme)) for w in members], "mean")
        assert 0 < again.card.threshold < 1


def test_one_network_and_several_models_have_no_mean() -> None:
    with pytest.raises(UsageError, match="joined by commas"):
        soup(_members(_networks(1)), "mean")
    first, second = _members(_networks(2))
    for card in (
        replace(_CARD, model=AttentionUNet(widths=(2, 8))),
        replace(_CARD, prepare=PrepareConfig(box=(32, 32, 32))),
    ):
        with pytest.raises(BadData, match="another model"):
            soup([first, replace(second, card=card)], "mean")


def test_weights_of_other_beginnings_have_no_mean() -> None:
    first, second, third = _members(_networks(3))
    stranger = replace(second, card=replace(second.card, provenance={"started_from": {"sha256": "elsewhere"}}))
    with pytest.raises(BadData, match="same weights"):
        soup([first, stranger], "mean")
    grandchild = {"started_from": {"sha256": "x", "started_from": {"sha256": "start"}}}
    mixed = {"mean_of": [{"sha256": "y", "started_from": {"sha256": "start"}}]}
    family = [
        first,
        replace(second, card=replace(second.card, provenance=grandchild)),
        replace(third, card=replace(third.card, provenance=mixed)),
    ]
    assert soup(family, "mean").card.name == "mean"
