"""Stages keep the grid, normalise as told, and double the resolution exactly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from insula.config.models import Norm
from insula.nn import ConvStage, Upsample, make_norm


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("batch", nn.BatchNorm3d), ("instance", nn.GroupNorm), ("group", nn.GroupNorm), ("none", nn.Identity)],
)
def test_a_stage_keeps_the_grid(norm: Norm, kind: type) -> None:
    stage = ConvStage(3, 8, norm=norm, convs=3)
    assert stage(torch.randn(2, 3, 5, 6, 7)).shape == (2, 8, 5, 6, 7)
    assert sum(isinstance(m, kind) for m in stage.modules()) == 3
    assert isinstance(make_norm(norm, 4), kind)


def test_a_coarse_voxel_fills_its_own_eight() -> None:
    up = Upsample(2, 3)
    x = torch.zeros(1, 2, 4, 4, 4)
    still = up(x)
    x[0, 0, 1, 2, 3] = 1
    changed = (up(x) != still).any(1)[0].nonzero()
    assert changed.min(0).values.tolist() == [2, 4, 6]
    assert changed.max(0).values.tolist() == [3, 5, 7]


def test_instance_norm_is_torchs() -> None:
    x = torch.randn(2, 4, 5, 6, 7) * 3 + 1
    assert torch.allclose(make_norm("instance", 4)(x), nn.InstanceNorm3d(4)(x), atol=1e-5)


def test_without_a_norm_the_variance_is_kept() -> None:
    torch.manual_seed(0)
    out = ConvStage(8, 32, norm="none", convs=3)(torch.randn(1, 8, 16, 16, 16))
    assert 0.3 < out.square().mean().item() < 3
