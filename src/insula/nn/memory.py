"""A memory of what looks like lesion in this scan, and the attention that queries it."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from insula.types import Shape

__all__ = ["Bank", "LesionMemory", "MemoryAttention", "MemoryMode", "rank_tokens", "rotate"]

MemoryMode = Literal["fifo", "self_sorting", "self_sorting_mirror"]
"""Which tokens are kept: the last ones classified as lesion, the best that differ, or those and their mirror images."""

_SHORTEST, _LONGEST = 16.0, 512.0  # wavelengths of the positional code [voxels of the input]
_LESION = 0.5


class Bank(NamedTuple):
    """The memory of one scan. It is built anew for every scan, so nothing leaks from one patient to the next."""

    token: Float[Tensor, "b k c"]
    """Features of each token."""
    score: Float[Tensor, "b k"]
    """How much each token looks like lesion, 0 to 1."""
    place: Float[Tensor, "b k 3"]
    """Centre of each token [voxels of the network's input]."""


class LesionMemory(nn.Module):
    """Score every token of a coarse grid, and keep the best that differ from each other.

    The memory is deterministic in training and in use, and independent of the order of the tokens (except for `fifo`,
    which serves as a comparison).

    Args:
        channels: number of channels of the features.
        mode: which tokens are kept.
        size: number of tokens kept, K; `self_sorting_mirror` adds as many.
        stride: input voxels per token along each axis.

    Source:
        The ranking is the matrix form of non-maximum suppression, Wang 2020, SOLOv2, arXiv 2003.10152, section 3.3,
        with similarity of features in place of overlap; the memory bank follows Ravi 2024, SAM 2, arXiv 2408.00714.
    """

    def __init__(self, channels: int, *, mode: MemoryMode = "self_sorting", size: int = 64, stride: int = 16) -> None:
        super().__init__()
        self.mode, self.size, self.stride = mode, size, stride
        self.head = nn.Conv3d(channels, 1, kernel_size=1)

    def forward(self, x: Float[Tensor, "b c i j k"]) -> tuple[Bank, Float[Tensor, "b 1 i j k"]]:
        """Return the bank, and the coarse lesion logits that selected its tokens (to be supervised)."""
        logits = self.head(x)
        token, score = x.flatten(2).mT, torch.sigmoid(logits.float()).flatten(1)  # (b, n, c), (b, n)
        rank = _by_arrival(score) if self.mode == "fifo" else rank_tokens(score, token)
        chosen = rank.detach().topk(min(self.size, rank.shape[1])).indices  # (b, k)
        grid = (x.shape[2], x.shape[3], x.shape[4])
        banks = [self._take(chosen, token, score, grid)]
        if self.mode == "self_sorting_mirror":
            across = _mirrored(chosen, grid)
            # a mirror image gets its original's score: what matters is how the two sides differ
            banks.append(self._take(across, token, score, grid)._replace(score=banks[0].score))
        return Bank(*(torch.cat(parts, dim=1) for parts in zip(*banks, strict=True))), logits

    def _take(self, index: Int[Tensor, "b k"], token: Tensor, score: Tensor, grid: Shape) -> Bank:
        token = token.gather(1, index[..., None].expand(-1, -1, token.shape[-1]))
        i, j, k = index // (grid[1] * grid[2]), index // grid[2] % grid[1], index % grid[2]
        place = (torch.stack([i, j, k], dim=-1).float() + 0.5) * self.stride
        return Bank(token, score.gather(1, index), place)


def rank_tokens(score: Float[Tensor, "b n"], token: Float[Tensor, "b n c"]) -> Float[Tensor, "b n"]:
    """Return score x (1 - similarity to the most similar better token), which is high for what is lesion and new.

    Similarity is the cosine of the features, with negative values counted as 0. One n x n matrix, no loop.

    Args:
        score: how much each token looks like lesion, 0 to 1.
        token: features of each token.
    """
    unit = F.normalize(token.float(), dim=-1)
    alike = (unit @ unit.mT).clamp(0, 1)  # (b, n, n)
    better = score[:, None, :] > score[:, :, None]
    return score * (1 - (alike * better).amax(-1))


def _by_arrival(score: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Rank tokens by arrival: the last ones called lesion come first, then the others by score.

    Tokens arrive slice by slice.
    """
    arrival = torch.arange(1, score.shape[1] + 1, device=score.device) / score.shape[1]
    return torch.where(score > _LESION, 1 + arrival, score)


def _mirrored(index: Int[Tensor, "b k"], grid: Shape) -> Int[Tensor, "b k"]:
    """Return the indices of the same places on the other side; the first axis runs from left to right."""
    area = grid[1] * grid[2]
    return (grid[0] - 1 - index // area) * area + index % area


class MemoryAttention(nn.Module):
    """Attention of every voxel to the memory: K tokens, learned background tokens, and a null token.

    The null token serves voxels that need nothing. The result is scaled down by the share of the voxel's attention that
    went to the background, and enters through a gate that starts at zero, so a fresh block is the identity. The cost is
    linear in voxels: n x K.

    Args:
        channels: channels of the features that attend.
        memory: channels of the bank's tokens.
        heads: number of heads; must divide the channels, and each head needs at least 6 for the positional code.
        background: number of learned background tokens.
        stride: input voxels per voxel of the features.

    Source:
        Cross-attention to a memory bank as in Ravi 2024, SAM 2, arXiv 2408.00714, with positions coded as in Su 2021,
        RoFormer, arXiv 2104.09864, one third of each head for each axis.
    """

    def __init__(self, channels: int, memory: int, *, heads: int = 4, background: int = 8, stride: int = 8) -> None:
        super().__init__()
        self.heads, self.background, self.stride = heads, background, stride
        size = channels // heads
        self.norm = nn.LayerNorm(channels)
        self.memory_norm = nn.LayerNorm(memory)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(memory, channels, bias=False)
        self.value = nn.Linear(memory, channels, bias=False)
        self.other_key = nn.Parameter(torch.randn(heads, background + 1, size) / math.sqrt(size))
        self.other_value = nn.Parameter(torch.randn(heads, background, size) / math.sqrt(size))
        self.out = nn.Linear(channels, channels)
        self.gate = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c i j k"], bank: Bank) -> Float[Tensor, "b c i j k"]:
        tokens = self.norm(x.flatten(2).mT.to(self.norm.weight.dtype))  # (b, n, c); as autocast does it on a GPU
        place = self._places(x)
        query = rotate(self._split(self.query(tokens)), place)  # (b, h, n, d)
        known = self.memory_norm(bank.token.to(self.norm.weight.dtype))
        key = rotate(self._split(self.key(known)), bank.place)
        value = self._split(self.value(known) * bank.score[..., None].to(known.dtype))
        key = torch.cat([key, self.other_key.to(key.dtype).expand(x.shape[0], -1, -1, -1)], dim=2)
        value = torch.cat([value, self.other_value.to(value.dtype).expand(x.shape[0], -1, -1, -1)], dim=2)
        value = F.pad(value, (0, 0, 0, 1))  # the null token has the value zero
        weight = torch.softmax((query @ key.mT).float() / math.sqrt(query.shape[-1]), dim=-1)  # (b, h, n, k + b + 1)
        kept = bank.token.shape[1]
        background = weight[..., kept : kept + self.background].sum(-1, keepdim=True)
        answer = (weight.to(value.dtype) @ value) * (1 - background).to(value.dtype)  # (b, h, n, d)
        answer = self.gate * self.out(answer.transpose(1, 2).flatten(2))  # (b, n, c)
        return x + answer.mT.unflatten(2, x.shape[2:])

    def _split(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b h n d"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _places(self, x: Tensor) -> Float[Tensor, "1 n 3"]:
        axes = [(torch.arange(n, device=x.device) + 0.5) * self.stride for n in x.shape[2:]]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)[None]


def rotate(x: Float[Tensor, "b h n d"], place: Float[Tensor, "#b n 3"]) -> Float[Tensor, "b h n d"]:
    """Rotate pairs of channels by angles that grow with position, so that products depend on the tokens' distance.

    Each axis gets a third of the channels (rounded down to an even number); the remaining channels are not rotated.
    Real arithmetic only, so that it exports.

    Args:
        x: queries or keys.
        place: position of each token [voxels of the network's input].
    """
    each = x.shape[-1] // 6  # pairs for an axis
    share = torch.arange(each, device=x.device) / max(each - 1, 1)
    rate = 2 * math.pi / (_SHORTEST * (_LONGEST / _SHORTEST) ** share)
    angle = (place[..., None] * rate).flatten(-2)[:, None]  # (b, 1, n, 3 each)
    turn, still = x[..., : 6 * each], x[..., 6 * each :]
    first, second = turn.float().chunk(2, dim=-1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    turned = torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
    return torch.cat([turned.to(x.dtype), still], dim=-1)
