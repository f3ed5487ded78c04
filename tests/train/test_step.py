"""One step: what moves, and what a gradient gone wrong leaves alone."""

from __future__ import annotations

import copy

import pytest
import torch

from insula.config import AttentionUNet, TrainConfig
from insula.models import UNet, build_model
from insula.train.step import Step
from insula.train.stream import Batch

_CPU = torch.device("cpu")


def _networks(norm: str = "instance") -> tuple[UNet, UNet]:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), norm=norm))  # type: ignore[arg-type]
    return model, copy.deepcopy(model)


def _batch(seed: int) -> Batch:
    image = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Batch(image, (image > 1).float())


def _copy(model: UNet) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_average_moves_by_the_rate_and_counts_are_copied() -> None:
    model, average = _networks("batch")
    before = _copy(average)
    Step(model, average, TrainConfig(), device=_CPU).take(_batch(0), lr=1e-2, rate=0.25)
    for name, value in average.state_dict().items():
        now = model.state_dict()[name]
        expected = before[name] + 0.25 * (now - before[name]) if value.is_floating_point() else now
        torch.testing.assert_close(value, expected, msg=name)
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_learning_rate_is_the_one_given() -> None:
    model, average = _networks()
    steps = Step(model, average, TrainConfig(weight_decay=0), device=_CPU)
    before = _copy(model)
    steps.take(_batch(0), lr=0.0, rate=0.0)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    steps.take(_batch(0), lr=1e-3, rate=0.0)
    moved = max(float((value - before[name]).abs().max()) for name, value in model.state_dict().items())
    assert moved == pytest.approx(1e-3, rel=0.05)  # Adam's first steps are as long as the rate


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted() -> None:
    model, average = _networks()
    steps = Step(model, average, TrainConfig(), device=_CPU)
    steps.take(_batch(0), lr=1e-2, rate=1.0)
    assert steps.skipped == 0
    before, moments = _copy(model), copy.deepcopy(steps.state()["optimiser"]["state"])
    bad = _batch(1)
    bad.image[0, 0, 0, 0, 0] = torch.nan
    for count in (1, 2):
        steps.take(bad, lr=1e-2, rate=1.0)
        assert steps.skipped == count
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    for key, held in steps.state()["optimiser"]["state"].items():
        assert all(torch.equal(moments[key][name], value) for name, value in held.items())
    steps.take(_batch(2), lr=1e-2, rate=1.0)
    assert steps.skipped == 0
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_state_goes_on_as_if_nothing_had_happened() -> None:
    whole, parted = (Step(*_networks(), TrainConfig(), device=_CPU) for _ in range(2))
    for step in (whole, parted):
        step.take(_batch(0), lr=1e-2, rate=0.5)
    held, weights = copy.deepcopy(parted.state()), (_copy(parted.model), _copy(parted.average))
    model, average = _networks()
    model.load_state_dict(weights[0])
    average.load_state_dict(weights[1])
    again = Step(model, average, TrainConfig(), device=_CPU)
    again.load(held)
    for step in (whole, again):
        step.take(_batch(1), lr=5e-3, rate=0.5)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, average.state_dict()[name]), name
