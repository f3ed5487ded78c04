"""Gates and channel attention: hand-made cases and slow references."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from insula.nn import AttentionGate, SqueezeExcite


def test_the_gate_is_the_pooled_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(4, 6)
    skip, coarse = torch.randn(2, 4, 8, 6, 4), torch.randn(2, 6, 4, 3, 2)
    pooled = gate.theta(F.avg_pool3d(skip, 2))  # what the fused convolution stands for
    weight = torch.sigmoid(gate.psi(F.relu(pooled + gate.phi(coarse))))
    weight = F.interpolate(weight, scale_factor=2.0, mode="trilinear", align_corners=False)
    assert torch.allclose(gate(skip, coarse), skip * weight, atol=1e-6)


def test_the_gate_only_scales_down() -> None:
    torch.manual_seed(0)
    skip, coarse = torch.randn(1, 4, 8, 8, 8), torch.randn(1, 6, 4, 4, 4)
    out = AttentionGate(4, 6)(skip, coarse)
    assert (out.abs() <= skip.abs()).all()
    assert (out.sign() == skip.sign()).all()


def test_squeeze_excite_gives_one_factor_per_channel() -> None:
    torch.manual_seed(0)
    block = SqueezeExcite(6, 4)
    x = torch.randn(2, 6, 3, 4, 5)
    ratio = block(x) / x
    factor = ratio[:, :, :1, :1, :1]
    assert torch.allclose(ratio, factor.expand_as(ratio), atol=1e-4)
    hand = torch.sigmoid(block.excite(F.relu(block.squeeze(x.mean((2, 3, 4))))))
    assert torch.allclose(factor.flatten(1), hand, atol=1e-4)


def test_one_channel_is_enough() -> None:
    assert SqueezeExcite(1, 4)(torch.ones(1, 1, 2, 2, 2)).shape == (1, 1, 2, 2, 2)
