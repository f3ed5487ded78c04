"""Windows attend to themselves, shifted ones across their borders, nothing to padding or around the rim."""

from __future__ import annotations

import pytest
import torch

from insula.nn import SwinBlock
from insula.nn.window_attention import _apart


def _block(*, shifted: bool, window: int = 4) -> SwinBlock:
    torch.manual_seed(0)
    return SwinBlock(8, heads=2, window=window, shifted=shifted).double().eval()


def _heard(block: SwinBlock, grid: tuple[int, int, int], voxel: tuple[int, int, int]) -> torch.Tensor:
    """Which input voxels change the output at one voxel."""
    x = torch.randn(1, 8, *grid, dtype=torch.float64, requires_grad=True)
    block(x)[(0, slice(None), *voxel)].sum().backward()
    assert x.grad is not None
    return x.grad[0].abs().sum(0) > 0


@pytest.mark.parametrize("grid", [(8, 8, 8), (9, 6, 11), (3, 3, 3)])
@pytest.mark.parametrize("shifted", [False, True])
def test_any_grid_comes_back_finite(grid: tuple[int, int, int], shifted: bool) -> None:
    y = _block(shifted=shifted)(torch.randn(2, 8, *grid, dtype=torch.float64))
    assert y.shape == (2, 8, *grid)
    assert torch.isfinite(y).all()


def test_a_plain_window_hears_itself_and_no_more() -> None:
    heard = _heard(_block(shifted=False), (8, 8, 8), (1, 2, 6))
    expected = torch.zeros(8, 8, 8, dtype=torch.bool)
    expected[0:4, 0:4, 4:8] = True
    assert torch.equal(heard, expected)


def test_a_shifted_window_straddles_borders_and_not_the_rim() -> None:
    block = _block(shifted=True)
    inner = _heard(block, (8, 8, 8), (3, 4, 4))
    expected = torch.zeros(8, 8, 8, dtype=torch.bool)
    expected[2:6, 2:6, 2:6] = True
    assert torch.equal(inner, expected)
    corner = _heard(block, (8, 8, 8), (7, 7, 7))
    expected = torch.zeros(8, 8, 8, dtype=torch.bool)
    expected[6:8, 6:8, 6:8] = True
    assert torch.equal(corner, expected)


def test_padding_is_heard_by_nobody() -> None:
    """The last window of a grid that does not fill it is as if the grid ended there."""
    block = _block(shifted=False)
    x = torch.randn(1, 8, 6, 4, 4, dtype=torch.float64)
    whole = block(x)
    assert torch.allclose(block(x[:, :, 4:])[:, :, :], whole[:, :, 4:], atol=1e-12)
    apart = _apart((6, 4, 4), 4, 0, torch.device("cpu"))
    assert apart.shape == (2, 64, 64)
    assert not apart[0].any()
    assert apart[1].sum() == 2 * 32 * 32


def test_the_offset_of_two_voxels_decides_their_bias() -> None:
    block = _block(shifted=False, window=2)
    pair = block._pair
    assert pair.shape == (8, 8)
    assert len(set(pair.diagonal().tolist())) == 1
    assert pair[0, 1] == pair[2, 3] == pair[4, 5]  # a step along k, wherever it starts
    assert pair[0, 1] != pair[1, 0]
    assert int(pair.max()) < len(block.bias)


def test_a_batch_is_its_items() -> None:
    block = _block(shifted=True)
    x = torch.randn(3, 8, 6, 8, 4, dtype=torch.float64)
    assert torch.allclose(block(x), torch.cat([block(item[None]) for item in x]), atol=1e-12)
