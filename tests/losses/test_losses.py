"""Losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from insula.losses import LOSSES, compound, cross_entropy, dice, topk10

_SHAPE = (1, 1, 2, 5, 10)


def _case(prob: float, lesion: int) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.full(_SHAPE, math.log(prob / (1 - prob)))
    truth = torch.zeros(_SHAPE)
    truth.view(-1)[:lesion] = 1
    return logits, truth


def test_dice_by_hand() -> None:
    logits, truth = _case(0.25, 20)  # sum p = 25, sum t = 20, overlap = 5
    assert float(dice(logits, truth)) == pytest.approx(1 - (2 * 5 + 1) / (25 + 20 + 1))


def test_dice_of_nothing_with_nothing_is_no_loss() -> None:
    logits, truth = torch.full(_SHAPE, -50.0), torch.zeros(_SHAPE)
    assert float(dice(logits, truth)) == pytest.approx(0, abs=1e-6)


def test_cross_entropy_by_hand() -> None:
    logits, truth = _case(0.25, 20)
    assert float(cross_entropy(logits, truth)) == pytest.approx(
        -(0.2 * math.log(0.25) + 0.8 * math.log(0.75)), rel=1e-5
    )


def test_topk10_takes_the_worst_tenth() -> None:
    logits, truth = _case(0.25, 20)  # the 20 lesion voxels are the worst, a tenth are 10
    assert float(topk10(logits, truth)) == pytest.approx(-math.log(0.25), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_least_at_the_truth_and_survives_empty_truth(name: str) -> None:
    loss = LOSSES[name]
    truth = (torch.rand(_SHAPE, generator=torch.Generator().manual_seed(0)) > 0.7).float()
    best, worst = loss(20 * (2 * truth - 1), truth), loss(-20 * (2 * truth - 1), truth)
    assert float(best) < 0.05 < float(worst)
    logits = torch.randn(_SHAPE, requires_grad=True)
    value = loss(logits, torch.zeros(_SHAPE))
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_compound_is_the_weighted_sum() -> None:
    logits, truth = _case(0.3, 12)
    both = compound([(0.25, "dice"), (2.0, "topk10")])(logits, truth)
    assert float(both) == pytest.approx(0.25 * float(dice(logits, truth)) + 2 * float(topk10(logits, truth)), rel=1e-6)
