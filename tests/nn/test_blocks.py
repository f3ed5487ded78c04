"""Stages keep the grid, normalise as told, and double the resolution exactly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from insula.config.models import Norm
from insula.nn import ConvStage, Upsample, make_norm


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm3d), ("instance", nn.InstanceNorm3d), ("group", nn.GroupNorm)]
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
