"""State-space blocks: global context at linear cost, by a scan through the volume in both directions."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from insula.types import Shape

__all__ = ["StateSpace", "scan_states"]

_CHUNK = 64
_STRETCH, _STRETCH_ON_CPU = 512, 64
"""Chunks per stretch. A GPU takes a whole brain in one go, because launching an operation costs more than computing it;
on a CPU the working set should stay in its caches."""
_STEP = (1e-3, 1e-1)
"""Range of the initial time steps, which set how fast a state forgets before anything is learnt."""


def scan_states(
    value: Float[Tensor, "b l h p"],
    log_decay: Float[Tensor, "b l h"],
    write: Float[Tensor, "b l h n"],
    read: Float[Tensor, "b l h n"],
    *,
    chunk: int = _CHUNK,
) -> Float[Tensor, "b l h p"]:
    """Run the recurrence S_t = exp(a_t) S_(t-1) + value_t write_t^T, y_t = S_t read_t, along l.

    It is computed chunk by chunk as matrix products (the state-space duality). One product joins the chunks of a
    stretch, and stretches follow each other, so the cost is linear in l. Everything is at least float32 and outside
    autocast, because states grow far beyond the range of float16. Shapes are static, so it compiles and exports.

    Args:
        value: what is stored, h heads of p channels.
        log_decay: a, at most 0; each step keeps exp(a) of the state.
        write: where in the state of size n the value is stored.
        read: where in the state it is looked up.
        chunk: tokens per matrix product; changes rounding and speed, not the result. l need not be a multiple.

    Returns:
        y, in the dtype of `value`.

    Source:
        Dao and Gu 2024, Transformers are SSMs, arXiv 2405.21060, section 6 (chunked SSD).
    """
    stretch = chunk * (_STRETCH_ON_CPU if value.device.type == "cpu" else _STRETCH)
    parts = zip(*(part.split(stretch, dim=1) for part in (value, log_decay, write, read)), strict=True)
    outputs: list[Tensor] = []
    state: Tensor | None = None
    with torch.autocast("cpu" if value.is_meta else value.device.type, enabled=False):
        for x, a, k, q in parts:
            y, state = _scan_stretch(x, a, k, q, state, chunk)
            outputs.append(y)
    return torch.cat(outputs, dim=1)


def _scan_stretch(
    value: Float[Tensor, "b l h p"],
    log_decay: Float[Tensor, "b l h"],
    write: Float[Tensor, "b l h n"],
    read: Float[Tensor, "b l h n"],
    start: Float[Tensor, "b h p n"] | None,
    chunk: int,
) -> tuple[Float[Tensor, "b l h p"], Float[Tensor, "b h p n"]]:
    """Run the recurrence over a stretch from state `start` (zero if None); return the outputs and the final state."""
    wide = torch.promote_types(value.dtype, torch.float32)
    length = value.shape[1]
    ends = (0, 0, 0, 0, 0, -length % chunk)  # padding past the end writes, forgets and reads nothing
    x, k, q = (F.pad(part.to(wide), ends).unflatten(1, (-1, chunk)).transpose(2, 3) for part in (value, write, read))
    a = F.pad(log_decay.to(wide), ends[2:]).unflatten(1, (-1, chunk)).transpose(2, 3)  # (b, c, h, s)
    since = a.cumsum(-1)
    inside = torch.exp(_between(a)) * (q @ k.mT)  # (b, c, h, s, s)
    to_end = torch.exp(since[..., -1:] - since)
    added = (x * to_end[..., None]).mT @ k  # (b, c, h, p, n), by each chunk
    before, end = _carry(added, since[..., -1], start)
    y = inside @ x + (q * torch.exp(since)[..., None]) @ before.mT
    return y.transpose(2, 3).flatten(1, 2)[:, :length].to(value.dtype), end


def _between(a: Float[Tensor, "*batch s"]) -> Float[Tensor, "*batch s s"]:
    """Return the sum of a over (j, i] for j <= i, else minus infinity; a sum without cancellation."""
    size = a.shape[-1]
    ones = torch.ones(size, size, dtype=torch.bool, device=a.device)
    steps = a[..., :, None].expand(*a.shape, size).masked_fill(~ones.tril(-1), 0.0)
    return steps.cumsum(-2).masked_fill(~ones.tril(), -math.inf)


def _carry(
    added: Float[Tensor, "b c h p n"], log_decay: Float[Tensor, "b c h"], start: Float[Tensor, "b h p n"] | None
) -> tuple[Float[Tensor, "b c h p n"], Float[Tensor, "b h p n"]]:
    """Return the state before each chunk, and the state after the last.

    They come from one product with the matrix of what remains between any two chunks.
    """
    stays = torch.exp(_between(log_decay.mT))  # (b, h, c, c)
    after = (stays @ added.transpose(1, 2).flatten(3)).unflatten(3, added.shape[3:]).transpose(1, 2)
    if start is not None:
        after = after + torch.exp(log_decay.cumsum(1))[..., None, None] * start[:, None]
    first = torch.zeros_like(after[:, :1]) if start is None else start[:, None]
    return torch.cat([first, after[:, :-1]], dim=1), after[:, -1]


class StateSpace(nn.Module):
    """A Mamba-2 block for volumes: x + context from all other voxels, scanned along one order of the axes.

    The causal convolution of the original is a depth-wise 3x3x3 one here, and the scan runs in both directions, because
    a volume has no beginning. Successive blocks take different axes as the fast one (`order`).

    Args:
        channels: number of channels of the features, and of the inner features.
        heads: number of independent states; must divide the channels.
        state: size n of each head's state.
        order: axes from slow to fast, a permutation of (0, 1, 2).

    Source:
        Dao and Gu 2024, arXiv 2405.21060, section 7; both directions as in Zhu 2024, Vision Mamba, arXiv 2401.09417.
    """

    def __init__(self, channels: int, *, heads: int, state: int = 16, order: Shape = (0, 1, 2)) -> None:
        super().__init__()
        self.heads, self.state, self.order = heads, state, order
        self.norm = RMSNorm(channels)
        self.into = nn.Conv3d(channels, 2 * channels + 2 * state + 2 * heads, kernel_size=1, bias=False)
        mixed = channels + 2 * state
        self.near = DepthwiseConv(mixed)
        self.log_rate = nn.Parameter(torch.empty(2, heads).uniform_(1, 16).log())
        step = torch.exp(torch.empty(2, heads).uniform_(math.log(_STEP[0]), math.log(_STEP[1])))
        self.step_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus of it is the step
        self.through = nn.Parameter(torch.ones(heads))
        self.gated_norm = RMSNorm(channels)
        self.out = nn.Conv3d(channels, channels, kernel_size=1, bias=False)

    def forward(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c i j k"]:
        channels, n = x.shape[1], self.state
        gate, mixed, step = self.into(self.norm(x)).split([channels, channels + 2 * n, 2 * self.heads], dim=1)
        mixed = F.silu(self.near(mixed))
        # cast once: under autocast every cast of a part, forward and backward, is a kernel of its own
        tokens, steps = self._line_up(mixed.float()), self._line_up(step.float())  # (b, l, c + 2 n), (b, l, 2 h)
        value = tokens[..., :channels].unflatten(-1, (self.heads, -1))
        write, read = (t[:, :, None].expand(-1, -1, self.heads, -1) for t in tokens[..., channels:].split(n, dim=-1))
        y = self._both_directions(value, write, read, steps) + self.through[:, None] * value
        y = self._fold_back(y.flatten(2), x.shape)  # (b, c, i, j, k)
        return x + self.out(self.gated_norm(y * F.silu(gate)))

    def _both_directions(self, value: Tensor, write: Tensor, read: Tensor, steps: Tensor) -> Tensor:
        """Scan forward and backward in one call, with the backward direction as additional batch items."""
        turned = [torch.cat([part, part.flip(1)]) for part in (value, write, read)]
        forward_steps, backward_steps = steps.split(self.heads, dim=-1)
        step = torch.cat(
            [F.softplus(forward_steps + self.step_bias[0]), F.softplus(backward_steps + self.step_bias[1]).flip(1)]
        )
        rate = torch.exp(self.log_rate)[:, None].expand(-1, value.shape[0], -1).flatten(0, 1)[:, None]  # (2 b, 1, h)
        y = scan_states(turned[0] * step[..., None], -rate * step, turned[1], turned[2])
        ahead, back = y.unflatten(0, (2, -1))
        return ahead + back.flip(1)

    def _line_up(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b l c"]:
        return x.permute(0, *(axis + 2 for axis in self.order), 1).flatten(1, 3)

    def _fold_back(self, tokens: Float[Tensor, "b l c"], shape: torch.Size) -> Float[Tensor, "b c i j k"]:
        sizes = [shape[axis + 2] for axis in self.order]
        places = [self.order.index(axis) + 1 for axis in range(3)]
        return tokens.unflatten(1, sizes).permute(0, 4, *places)


class DepthwiseConv(nn.Conv3d):
    """A depth-wise 3x3x3 convolution: each channel has its own kernel.

    GPUs have no fast kernel for it: its backward pass alone took most of a training step. On a GPU it is therefore a
    dense convolution whose other weights are zero, which costs `channels` times the arithmetic and a fraction of the
    time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=3, padding=1, groups=channels)

    def forward(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c i j k"]:
        if not x.is_cuda:
            return super().forward(x)
        dense = torch.diag_embed(self.weight.flatten(1).T).permute(1, 2, 0).unflatten(2, (3, 3, 3))  # (c, c, 3, 3, 3)
        return F.conv3d(x, dense, self.bias, padding=1)


class RMSNorm(nn.Module):
    """Normalisation of each voxel's channels by their root mean square, in float32.

    Source:
        Zhang and Sennrich 2019, Root mean square layer normalization, arXiv 1910.07467.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c i j k"]:
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + 1e-6)
        return (scaled * self.weight[:, None, None, None]).to(x.dtype)
