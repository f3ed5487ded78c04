"""The mean of gradients over processes; that two processes train as one is tested in test_world.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from insula.train.exchange import Exchange
from insula.train.world import World


def _with_gradients(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    for n, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, n + 1.0)
    return parameters


def test_alone_gradients_stay_what_they_are() -> None:
    (parameter,) = _with_gradients((2, 3))
    before = parameter.grad
    Exchange(World()).mean([parameter], [])
    assert parameter.grad is before


def test_gradients_and_statistics_are_averaged_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process has all values three times as large."""
    messages: list[int] = []

    def summed(_: World, tensor: Tensor) -> None:
        messages.append(tensor.numel())
        tensor *= 1 + 3

    monkeypatch.setattr(World, "sum_in_place", summed)
    weights = nn.Parameter(torch.zeros(2, 3, 3, 3, 3).contiguous(memory_format=torch.channels_last_3d))
    bias = nn.Parameter(torch.zeros(2))
    weights.grad, bias.grad = torch.randn_like(weights), torch.ones(2)
    before, statistic = weights.grad.clone(), torch.tensor([5.0])
    exchange = Exchange(World(size=2))
    exchange.mean([weights, bias], [statistic])
    torch.testing.assert_close(weights.grad, 2 * before)
    torch.testing.assert_close(bias.grad, torch.full((2,), 2.0))
    assert float(statistic) == 10
    assert weights.grad.stride() == weights.stride()
    assert messages == [weights.numel() + 2 + 1]
    bias.grad = None
    exchange.mean([weights], [statistic])  # another set of tensors: another message
    torch.testing.assert_close(weights.grad, 4 * before)
    assert messages[1:] == [weights.numel() + 1]
