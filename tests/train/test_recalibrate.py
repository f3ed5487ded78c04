"""Recalibrated statistics are plain averages over the batches, of the layer's own input."""

from __future__ import annotations

import torch
from torch import nn

from insula.config import AttentionUNet, Recipe
from insula.train import Batch
from insula.train.recalibrate import recalibrate
from insula.train.stream import Stream
from insula.train.world import World


class _Noise(Stream):
    """Batches with other means and spreads at every step."""

    fingerprint = ""
    provenance = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(Recipe(name="noise", model=AttentionUNet()), torch.device("cpu"), World())
        self.steps: list[int] = []

    def batch(self, step: int) -> Batch:
        self.steps.append(step)
        image = step + (1 + step) * torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(step))
        return Batch(image, image, image)


def test_statistics_are_averages_and_nothing_else_changes() -> None:
    norm = nn.BatchNorm3d(1, momentum=0.3)
    model = nn.Sequential(norm, nn.Conv3d(1, 1, 1))
    before = [parameter.clone() for parameter in model.parameters()]
    model.train()(torch.full((2, 1, 4, 4, 4), 50.0))  # statistics to be forgotten
    recalibrate(model, _Noise(), first=3, batches=4)
    images = [_Noise().batch(step).image for step in range(3, 7)]
    torch.testing.assert_close(norm.running_mean, torch.stack([image.mean()[None] for image in images]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([image.var()[None] for image in images]).mean(0))
    assert norm.momentum == 0.3
    assert not model.training and not norm.training
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_a_network_without_batch_normalisation_needs_no_batch() -> None:
    stream = _Noise()
    recalibrate(nn.Conv3d(1, 1, 1), stream, first=0, batches=2)
    assert stream.steps == []
