"""A rough skull strip: the brain stays, the scalp goes, and a failure takes nothing."""

from __future__ import annotations

import functools

import pytest
import torch

from insula.augment import Augmentation, Original, augment, brain_of
from insula.augment.levels import find_levels, relative
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid


@functools.cache
def _heads() -> tuple[torch.Tensor, torch.Tensor]:
    """The phantom with its skull, and where its brain is, at 1.5 mm."""
    grid = phantom_grid(spacing_mm=(1.5, 1.5, 1.5))
    with_skull = torch.tensor(phantom_case(grid, ()).scan.image)
    return with_skull, torch.tensor(phantom_case(grid, (), skull=False).scan.image) > 300


def test_the_brain_stays_and_the_scalp_goes() -> None:
    head, brain = _heads()
    picture = relative(head, find_levels(head))
    kept = brain_of(picture)
    assert float((kept & brain).sum()) > 0.97 * float(brain.sum())
    shell = (picture > 0.3) & ~brain
    assert float((kept & shell).sum()) < 0.5 * float(shell.sum())


def test_without_a_brain_everything_stays() -> None:
    assert brain_of(torch.zeros(64, 64, 64)).all()
    assert brain_of(torch.ones(192, 192, 176)).all()


@pytest.mark.long
def test_a_lesion_at_the_rim_is_not_cut_off() -> None:
    head, brain = _heads()
    picture = relative(head, find_levels(head))
    shell = (picture > 0.5) & ~brain & ~brain_of(picture)
    i, j, k = shell.nonzero()[len(shell.nonzero()) // 2].tolist()
    truth = torch.zeros_like(head)
    truth[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3] = 1
    (without, *_), (within, after, *_) = (
        augment([Original(head, mask)], [Augmentation(strip=0.5)], starts=[(0, 0, 0)], crop=tuple(head.shape))
        for mask in (torch.zeros_like(truth, dtype=torch.bool), truth.bool())
    )
    assert torch.equal(after[0], truth)
    assert float(without[0, i, j, k]) == 0
    assert float(within[0, i, j, k]) > 0.5
