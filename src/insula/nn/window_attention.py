"""Swin transformer blocks for volumes: attention inside windows that shift."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from insula.types import Shape

__all__ = ["SwinBlock"]


class SwinBlock(nn.Module):
    """x + attention within windows, then x + a two-layer perceptron of each voxel; layer normalisation before each.

    The windows of a shifted block straddle the borders of a plain block's, so two blocks in a row connect neighbours.
    The grid may have any size: it is padded to whole windows, and no voxel attends to padding or across the volume's
    rim.

    Args:
        channels: number of channels of the features.
        heads: number of attention heads; must divide the channels.
        window: voxels along each side of a window, even.
        shifted: whether the windows are shifted by half a window.

    Source:
        Liu 2021, Swin transformer, arXiv 2103.14030, equations 3 and 4; in 3-D as in Hatamizadeh 2022, Swin UNETR,
        arXiv 2201.01266.
    """

    def __init__(self, channels: int, *, heads: int, window: int = 4, shifted: bool = False) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, window // 2 if shifted else 0
        self.norm, self.other_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.ask = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 3, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("_pair", _pairs(window), persistent=False)
        self._pair: Tensor

    def forward(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c i j k"]:
        y = x.movedim(1, -1)  # (b, i, j, k, c)
        y = y + self._attend(self.norm(y))
        y = y + self.mlp(self.other_norm(y))
        return y.movedim(-1, 1)

    def _attend(self, x: Float[Tensor, "b i j k c"]) -> Float[Tensor, "b i j k c"]:
        w, shift = self.window, self.shift
        grid = (x.shape[1], x.shape[2], x.shape[3])
        i, j, k = whole = _whole(grid, w)
        y = F.pad(x, (0, 0, 0, k - grid[2], 0, j - grid[1], 0, i - grid[0]))
        if shift:
            y = y.roll((-shift,) * 3, (1, 2, 3))
        windows = y.unflatten(3, (k // w, w)).unflatten(2, (j // w, w)).unflatten(1, (i // w, w))
        windows = windows.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(1, 3)  # (b, windows, w^3, c)
        query, key, value = self.ask(windows).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        bias = self.bias[self._pair].permute(2, 0, 1)[None]  # (1, h, w^3, w^3)
        if shift or whole != grid:
            bias = bias.masked_fill(_apart(grid, w, shift, x.device)[:, None], -torch.inf)
        y = _attend(query, key, value, bias.to(query.dtype))
        y = self.out(y.transpose(2, 3).flatten(3))
        y = y.unflatten(2, (w, w, w)).unflatten(1, (i // w, j // w, k // w)).permute(0, 1, 4, 2, 5, 3, 6, 7)
        y = y.flatten(5, 6).flatten(3, 4).flatten(1, 2)
        if shift:
            y = y.roll((shift,) * 3, (1, 2, 3))
        return y[:, : grid[0], : grid[1], : grid[2]]


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Compute scaled dot-product attention; spelt out for exporters, which support it with one batch axis only."""
    if torch.compiler.is_exporting():
        return ((query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5 + bias).softmax(-1) @ value
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)


def _whole(grid: Shape, window: int) -> Shape:
    i, j, k = (-(-n // window) * window for n in grid)
    return i, j, k


def _pairs(window: int) -> Int[Tensor, "n n"]:
    """Return the entry of the bias table for each pair of voxels in a window; it depends on their offset."""
    axes = torch.meshgrid(*[torch.arange(window)] * 3, indexing="ij")
    place = torch.stack(axes, dim=-1).flatten(0, 2)  # (w^3, 3)
    offset = place[:, None] - place[None] + window - 1
    side = 2 * window - 1
    return (offset[..., 0] * side + offset[..., 1]) * side + offset[..., 2]


def _apart(grid: Shape, window: int, shift: int, device: torch.device) -> Bool[Tensor, "windows n n"]:
    """Return a mask of the pairs in a window that must not attend to each other.

    They are a real voxel and padding, or voxels that only the shift brought together.
    """
    labels = []
    for size, whole in zip(grid, _whole(grid, window), strict=True):
        place = torch.arange(whole, device=device)
        padding = ((place + shift) % whole >= size).long()
        labels.append((padding + 2 * (place >= whole - shift)).view(-1, window))
    a, b, c = labels
    label = a[:, None, None, :, None, None] + 4 * b[None, :, None, None, :, None] + 16 * c[None, None, :, None, None, :]
    label = label.flatten(3).flatten(0, 2)  # (windows, w^3)
    return label[:, :, None] != label[:, None]
