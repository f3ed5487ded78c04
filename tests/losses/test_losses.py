"""Losses by hand."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from insula.config.recipe import LossName
from insula.losses import (
    BRAIN,
    DISTILLATION,
    LOSSES,
    boundary,
    compound,
    cross_entropy,
    deep_supervision,
    dice,
    distil,
    edges,
    focal,
    topk10,
    tversky,
    weighted_sum,
)

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


def test_tversky_by_hand() -> None:
    logits, truth = _case(0.25, 20)  # TP = 5, FP = 20, FN = 15
    assert float(tversky(logits, truth)) == pytest.approx(1 - (5 + 1) / (5 + 0.3 * 20 + 0.7 * 15 + 1))
    half = tversky(logits, truth, false_positive=0.5, false_negative=0.5, smooth=0.5)
    assert float(half) == pytest.approx(float(dice(logits, truth)))
    missed, invented = (tversky(logits + shift, truth) - dice(logits + shift, truth) for shift in (-3, 3))
    assert missed > invented  # it minds a missed voxel more than one too many


def test_tversky_of_nothing_with_nothing_is_no_loss() -> None:
    assert float(tversky(torch.full(_SHAPE, -50.0), torch.zeros(_SHAPE))) == pytest.approx(0, abs=1e-6)


def test_focal_by_hand() -> None:
    logits, truth = _case(0.25, 20)
    lesion, rest = 0.25 * 0.75**2 * -math.log(0.25), 0.75 * 0.25**2 * -math.log(0.75)
    assert float(focal(logits, truth)) == pytest.approx(0.2 * lesion + 0.8 * rest, rel=1e-5)
    assert float(focal(logits, truth, gamma=0, alpha=0.5)) == pytest.approx(float(cross_entropy(logits, truth)) / 2)


def test_focal_of_an_empty_truth_is_the_background_term() -> None:
    logits, truth = _case(0.25, 0)
    assert float(focal(logits, truth)) == pytest.approx(0.75 * 0.25**2 * -math.log(0.75), rel=1e-5)


def test_edges_are_both_sides_of_a_border_and_no_rim() -> None:
    truth = torch.zeros(1, 1, 7, 7, 7)
    truth[..., 2:5, 2:5, 2:5] = 1  # 27 voxels, of which one touches no border; 6 faces of 9 outside
    found = edges(truth)
    assert float((found * truth).sum()) == 26
    assert float((found * (1 - truth)).sum()) == 54
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert float(edges(torch.ones(1, 1, 4, 4, 4)).sum()) == 0
    assert float(edges(torch.zeros(1, 1, 4, 4, 4)).sum()) == 0


def test_boundary_by_hand() -> None:
    """A wrong answer on an edge costs four times one elsewhere; with an empty truth it is cross-entropy."""
    truth = torch.zeros(1, 1, 5, 5, 5)
    truth[..., 2, 2, 2] = 1  # 7 edge voxels, 118 others
    logits = 40 * (2 * truth - 1)
    bad_edge, bad_far = logits.clone(), logits.clone()
    bad_edge[..., 1, 2, 2] = 10.0
    bad_far[..., 0, 0, 0] = 10.0
    assert float(boundary(bad_edge, truth)) == pytest.approx(4 * 10 / (7 * 4 + 118), rel=1e-4)
    assert float(boundary(bad_far, truth)) == pytest.approx(10 / (7 * 4 + 118), rel=1e-4)
    some, none = torch.randn(_SHAPE), torch.zeros(_SHAPE)
    assert float(boundary(some, none)) == pytest.approx(float(cross_entropy(some, none)))


def test_deep_supervision_weighs_levels_and_keeps_small_lesions() -> None:
    truth = torch.zeros(1, 1, 8, 8, 8)
    truth[..., 3, 3, 3] = 1
    logits = [torch.randn(1, 1, n, n, n) for n in (8, 4, 2)]
    coarse = [truth, torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 1, 2, 2, 2)]
    coarse[1][..., 1, 1, 1] = 1
    coarse[2][..., 0, 0, 0] = 1
    by_hand = sum(w * cross_entropy(z, t) for w, z, t in zip((1, 0.5, 0.25), logits, coarse, strict=True)) / 1.75
    assert float(deep_supervision(LOSSES["cross_entropy"], 3)(logits, truth)) == pytest.approx(float(by_hand), rel=1e-6)
    assert float(deep_supervision(LOSSES["dice"], 1)(logits[:1], truth)) == pytest.approx(float(dice(logits[0], truth)))


def test_a_recipe_can_name_every_loss_and_no_other() -> None:
    assert set(get_args(LossName)) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_logits_of_a_thousand_are_no_trouble(name: str) -> None:
    logits = torch.tensor([1e3, -1e3]).repeat(50).view(_SHAPE).requires_grad_()
    truth = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(25).view(_SHAPE)
    value = LOSSES[name](logits, truth)
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


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


def test_distil_by_hand() -> None:
    logits, _ = _case(0.25, 0)
    taught = torch.full(_SHAPE, 0.5)  # P = 25, T = 50, D = 25
    apart = 25 / (25 + 50 + 1)
    entropy = -math.log(0.5)
    cross = -(0.5 * math.log(0.25) + 0.5 * math.log(0.75))
    assert float(distil(logits, taught)) == pytest.approx(apart + cross - entropy, rel=1e-5)


@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9])
def test_a_student_that_answers_as_its_teacher_loses_nothing(prob: float) -> None:
    logits = torch.full(_SHAPE, math.log(prob / (1 - prob)))
    loss = distil(logits, torch.full(_SHAPE, prob))
    assert float(loss) == pytest.approx(0, abs=1e-5)
    assert float(distil(logits + 0.5, torch.full(_SHAPE, prob))) > 0.01
    assert float(distil(logits - 0.5, torch.full(_SHAPE, prob))) > 0.01


def test_distil_of_a_sure_teacher_is_the_loss_of_the_truth() -> None:
    logits, truth = _case(0.25, 20)
    assert float(distil(logits, truth)) == pytest.approx(
        float(dice(logits, truth) + cross_entropy(logits, truth)), rel=1e-5
    )


_SHARED = {**{name: loss for name, loss in LOSSES.items() if name != "topk10"}, "brain": BRAIN, "distil": DISTILLATION}


@pytest.mark.parametrize("name", _SHARED)
def test_the_sums_of_two_parts_give_the_loss_of_the_whole(name: str) -> None:
    loss, logits, truth = _SHARED[name], torch.randn(4, 1, 4, 4, 4), (torch.rand(4, 1, 4, 4, 4) > 0.7).float()
    first, second = (loss.sums(logits[part], truth[part]) for part in (slice(0, 1), slice(1, 4)))
    assert len(first) == loss.length
    assert float(loss.of(first + second)) == pytest.approx(float(loss(logits, truth)), rel=1e-5)


def test_all_sums_of_weighted_losses_travel_in_one_message() -> None:
    logits, truth = torch.randn(4, 1, 8, 8, 8), (torch.rand(4, 1, 8, 8, 8) > 0.7).float()
    levels = [logits, torch.randn(4, 1, 4, 4, 4)]
    deep = deep_supervision(compound([(0.5, "dice"), (0.25, "tversky"), (1.0, "focal")]), 2)
    messages: list[int] = []

    def twice(part: torch.Tensor) -> torch.Tensor:
        """The total of two processes with the same part of the batch."""
        messages.append(len(part))
        return 2 * part

    terms = [(0.7, deep, deep.sums(levels, truth)), (0.3, BRAIN, BRAIN.sums(logits, truth))]
    double = [(0.7, deep, deep.sums(_doubled(levels), _doubled([truth])[0])), (0.3, BRAIN, 2 * terms[1][2])]
    assert float(weighted_sum(terms, twice)) == pytest.approx(float(weighted_sum(double)), rel=1e-5)
    assert messages == [deep.length + BRAIN.length]
    assert deep.length == 2 * (3 + 2)  # Dice and Tversky share their three sums


def _doubled(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [torch.cat([tensor, tensor]) for tensor in tensors]
