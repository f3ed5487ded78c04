"""A volume segmented in windows of the size of the training crops, as most tools do it.

The studies compare whole passes with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from insula.types import Shape

_SHARP = 8  # a window is this many sigmas wide


def windowed_logits(
    forward: Callable[[Tensor], Tensor], image: Tensor, window: Shape, *, overlap: float = 0.5
) -> Tensor:
    """Logits (1, 1, i, j, k) of a volume: the mean over windows, each weighted by a Gaussian around its centre.

    Args:
        forward: the network: a window in, its logits out, on the same grid.
        image: the whole volume, (1, 1, i, j, k).
        window: voxels along each axis; cut to the volume where that is smaller.
        overlap: least share of a window that its neighbour covers too, in [0, 1).

    Source:
        Isensee 2021, nnU-Net: half a window of overlap, a sigma of an eighth.
    """
    sizes = image.shape[2:]
    reach = [min(n, size) for n, size in zip(window, sizes, strict=True)]
    weight = torch.ones((), device=image.device)
    for axis, n in enumerate(reach):
        away = torch.arange(n, device=image.device) - (n - 1) / 2
        line = torch.exp(-0.5 * (away * _SHARP / n) ** 2).clamp_min(1e-3)
        weight = weight * line.view([-1 if axis == other else 1 for other in range(3)])
    total, weights = torch.zeros_like(image), torch.zeros(sizes, device=image.device)
    for corner in itertools.product(*(_starts(size, n, overlap) for size, n in zip(sizes, reach, strict=True))):
        i, j, k = (slice(a, a + n) for a, n in zip(corner, reach, strict=True))
        total[..., i, j, k] += weight * forward(image[..., i, j, k])
        weights[i, j, k] += weight
    return total / weights


def _starts(size: int, window: int, overlap: float) -> list[int]:
    count = math.ceil((size - window) / max(1, window * (1 - overlap))) + 1
    return [round(n * (size - window) / max(1, count - 1)) for n in range(count)]
