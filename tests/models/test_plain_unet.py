"""The yardstick fits the box that it is planned for."""

from __future__ import annotations

import pytest
import torch

from insula.config import PlainUNet
from insula.errors import UsageError
from insula.models import build_plain_unet


def test_176_voxels_are_halved_four_times_only() -> None:
    model = build_plain_unet(PlainUNet(widths=(2, 2, 2, 2, 2, 2)))
    assert model.divisors == (32, 32, 16)
    assert not [n for n, d in zip((192, 224, 176), model.divisors, strict=True) if n % d]
    logits, *coarse = model.outputs(torch.randn(1, 1, 32, 64, 48))
    assert logits.shape == (1, 2, 32, 64, 48)
    assert [tuple(level.shape[2:]) for level in coarse] == [(16, 32, 24), (8, 16, 12), (4, 8, 6)]
    with pytest.raises(UsageError, match="48 on axis i"):
        model(torch.zeros(1, 1, 48, 64, 48))
