"""The mean of weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from insula.checkpoint import Card, Weights, soup
from insula.config import AttentionUNet, Calibration, PrepareConfig, SEUNet
from insula.errors import BadData, UsageError
from insula.models import UNet, build_model

_CARD = Card(
    name="both", model=AttentionUNet(widths=(2, 4), norm="batch"), prepare=PrepareConfig(),
    calibration=Calibration(temperature=2.0), provenance={"members": []},
)  # fmt: skip


def _networks(count: int) -> list[UNet]:
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(build_model(_CARD.model))
        made[-1].train()(torch.randn(2, 1, 16, 16, 16))
    return made


def _weights(networks: list[UNet]) -> Weights:
    return Weights(networks=tuple((network.eval(), 1.5) for network in networks), card=_CARD, sha256="abc")


def test_every_number_is_the_mean_and_counts_are_the_first_ones() -> None:
    networks = _networks(3)
    mean = soup(_weights(networks), "mean")
    for key, value in mean.model.state_dict().items():
        parts = torch.stack([network.state_dict()[key] for network in networks])
        torch.testing.assert_close(value, parts.mean(0) if value.is_floating_point() else parts[0], msg=key)
    assert not mean.model.training


def test_its_calibration_is_nobodys() -> None:
    mean = soup(_weights(_networks(2)), "mean")
    assert mean.networks[0][1] == 1.0
    assert mean.card.calibration == Calibration()
    assert (mean.card.name, mean.card.provenance) == ("mean", {"members": [], "mean_of_weights": True})
    assert mean.sha256 != "abc"


def test_one_network_and_several_architectures_have_no_mean() -> None:
    with pytest.raises(UsageError, match="joined by commas"):
        soup(_weights(_networks(1)), "mean")
    other = build_model(SEUNet(widths=(2, 4), norm="batch"))
    with pytest.raises(BadData, match="several architectures"):
        soup(_weights([*_networks(1), other]), "mean")
    wider = build_model(replace(_CARD.model, widths=(2, 8)))
    with pytest.raises(BadData, match="several architectures"):
        soup(_weights([*_networks(1), wider]), "mean")
