"""A rough skull strip: the brain stays, the scalp goes, and a failure takes nothing."""

from __future__ import annotations

import torch

from insula.augment import Augmentation, augment, brain_of
from insula.augment.levels import relative
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid


def _heads() -> tuple[torch.Tensor, torch.Tensor]:
    """The phantom with its skull, and where its brain is, at 1.5 mm."""
    grid = phantom_grid(spacing_mm=(1.5, 1.5, 1.5))
    with_skull = torch.tensor(phantom_case(grid, ()).scan.image)
    return with_skull, torch.tensor(phantom_case(grid, (), skull=False).scan.image) > 300


def test_the_brain_stays_and_the_scalp_goes() -> None:
    head, brain = _heads()
    picture, _ = relative(head)
    kept = brain_of(picture)
    assert float((kept & brain).sum()) > 0.97 * float(brain.sum())
    shell = (picture > 0.3) & ~brain
    assert float((kept & shell).sum()) < 0.5 * float(shell.sum())


def test_without_a_brain_everything_stays() -> None:
    assert brain_of(torch.zeros(64, 64, 64)).all()
    assert brain_of(torch.ones(192, 192, 176)).all()


def test_a_lesion_at_the_rim_is_not_cut_off() -> None:
    head, brain = _heads()
    shell = (relative(head)[0] > 0.5) & ~brain & ~brain_of(relative(head)[0])
    i, j, k = shell.nonzero()[len(shell.nonzero()) // 2].tolist()
    truth = torch.zeros_like(head)
    truth[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3] = 1
    without, _ = augment(head[None], torch.zeros_like(head)[None], [Augmentation(strip=True)])
    within, after = augment(head[None], truth[None], [Augmentation(strip=True)])
    assert torch.equal(after[0], truth)
    assert float(without[0, i, j, k]) == 0
    assert float(within[0, i, j, k]) > 0.5
