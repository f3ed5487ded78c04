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


def test_windows_are_the_means_of_the_crops_that_lie_in_them() -> None:
    """By hand, without any pool: every cell sees its two windows of four cells, moved into the volume at its border."""
    torch.manual_seed(0)
    block = SqueezeExcite(3, 1, cell=1, window=4)
    x = torch.randn(2, 3, 7, 5, 3)
    out = block(x)

    def windows(at: int, size: int) -> list[slice]:
        firsts = [min(max(at - side, 0), max(size - 4, 0)) for side in (2, 1)]
        return [slice(first, first + 4) for first in firsts]

    for place in ((0, 0, 0), (3, 2, 1), (6, 4, 2), (2, 1, 0)):
        i, j, k = (windows(at, size) for at, size in zip(place, x.shape[2:], strict=True))
        crops = [x[:, :, a, b, c].mean((2, 3, 4)) for a in i for b in j for c in k]
        weight = torch.sigmoid(block.excite(F.relu(block.squeeze(torch.stack(crops).mean(0)))))
        assert torch.allclose(out[:, :, *place], x[:, :, *place] * weight, atol=1e-6)


def test_a_volume_no_larger_than_a_window_is_squeezed_as_a_whole() -> None:
    torch.manual_seed(0)
    whole, windows = SqueezeExcite(4, 2), SqueezeExcite(4, 2, cell=2, window=3)
    windows.load_state_dict(whole.state_dict())
    x = torch.randn(1, 4, 6, 4, 2)
    assert torch.equal(whole(x), windows(x))
    larger = torch.cat([x, 3 * x, x], dim=2)
    assert not torch.allclose(whole(larger), windows(larger))


def test_a_window_far_from_a_change_does_not_see_it() -> None:
    torch.manual_seed(0)
    block = SqueezeExcite(4, 2, cell=2, window=3)
    x = torch.randn(1, 4, 24, 4, 4)
    changed = x.clone()
    changed[:, :, 18:] += 5
    assert torch.equal(block(x)[:, :, :10], block(changed)[:, :, :10])
    assert not torch.allclose(block(x)[:, :, 12:18], block(changed)[:, :, 12:18])
