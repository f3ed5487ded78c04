"""Measurements of an image from which motion and noise are judged: detail inside the head, and signal in the air."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from insula.contrast.look import blocks_of_4mm, details_of, logarithm

__all__ = ["SYMPTOMS", "measure_symptoms"]

_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.97)
_HEAD, _INSIDE = 0.2, 0.4  # of the bright tissue, averaged over 12 mm
_EMPTY = 0.002  # of the bright tissue: zeros that were written, not measured
_FEWEST = 20  # blocks; smaller regions measure nothing
_SPREAD, _K, _J, _JK, _I, _IK, _IJ, _I2, _J2 = 1, 2, 3, 4, 5, 6, 7, 9, 10
_IN_AIR = [0, _SPREAD, _K, _J, _I]
SYMPTOMS = 216
"""Number of measurements."""


def measure_symptoms(look: Float[Tensor, "i j k"]) -> Float[Tensor, " 216"]:
    """Measure what motion and noise leave in an image.

    Movement during an acquisition disturbs the phase axis more than the others, and leaves copies of the head in the
    air beside it along that axis. Noise disturbs all directions, and all of the air, alike. So detail is compared
    between directions in the head's inside and rim, and the air is divided by the axes along which it lies beside the
    head.

    Args:
        look: from `look_at`.

    Returns:
        Quantiles of detail and signal in two parts of the head, their differences between directions, and means in four
        parts of the air; 0 for a part that hardly exists.
    """
    blocks = blocks_of_4mm(look[None])
    mean, spread, details = blocks.mean(1)[0], blocks.std(1, correction=0), details_of(blocks)[0]
    some = mean.flatten()[::3]
    low, bright = torch.quantile(some, 0.02), torch.quantile(some, 0.97)
    share = (mean - low) / (bright - low).clamp_min(1e-6)
    smooth = functional.avg_pool3d(share[None, None], 3, 1, 1)[0, 0]
    head = smooth >= _HEAD
    inside = ~_grown(smooth < _INSIDE)
    bent = torch.stack([_bent(mean, axis) for axis in range(3)])
    channels = logarithm(torch.cat([share.clamp_min(0)[None], spread, details.abs(), bent]))
    measured = [_detail(channels[:, part]) for part in (inside, head & ~inside)]
    beside_i, beside_j, far = head.any(0, keepdim=True), head.any(1, keepdim=True), ~_grown(head)
    for air in (beside_i & ~beside_j, beside_j & ~beside_i, beside_i & beside_j, ~beside_i & ~beside_j):
        measured.append(_signal(channels, share, far & air))
    return torch.cat(measured)


def _detail(values: Float[Tensor, "c n"]) -> Float[Tensor, " 96"]:
    if values.shape[1] < _FEWEST:
        return values.new_zeros(96)
    # (c, share)
    q = torch.quantile(values, values.new_tensor(_SHARES), dim=1).T
    sideways = [
        (q[_I] - q[_J]).abs(),
        (q[_I2] - q[_J2]).abs(),
        (q[_IK] - q[_JK]).abs(),
        torch.maximum(q[_I], q[_J]) - q[_K],
    ]
    return torch.cat([q.flatten(), *sideways])


def _signal(channels: Float[Tensor, "c i j k"], share: Float[Tensor, "i j k"], air: Tensor) -> Float[Tensor, " 6"]:
    if int(air.sum()) < _FEWEST:
        return channels.new_zeros(6)
    empty = (share[air].abs() < _EMPTY).float().mean()
    return torch.cat([channels[_IN_AIR][:, air].mean(1), empty[None]])


def _bent(mean: Float[Tensor, "i j k"], axis: int) -> Float[Tensor, "i j k"]:
    """Return how far each block differs from the line through its two neighbours along an axis; 0 at the ends."""
    before, after = mean.roll(1, axis), mean.roll(-1, axis)
    bent = (before - 2 * mean + after).abs()
    bent.narrow(axis, 0, 1).zero_()
    bent.narrow(axis, mean.shape[axis] - 1, 1).zero_()
    return bent


def _grown(part: Bool[Tensor, "i j k"]) -> Bool[Tensor, "i j k"]:
    return functional.max_pool3d(part.float()[None, None], 5, 1, 2)[0, 0] > 0.5
