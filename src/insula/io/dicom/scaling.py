"""Whether each slice's RescaleSlope and RescaleIntercept make a volume of its neighbours and it, or tear it apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from insula.types import Flag

__all__ = ["doubt_scaling"]

_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)  # symmetric, for a slope below 0 turns them round
_LEAST_JUMP = 0.1  # of the brightness; less is what slices differ by
_CLEARLY = 2.0  # times smoother with the neighbour's scaling than with its own
_UNUSUAL = 3.0  # times the median step from slice to slice


def doubt_scaling(image: Float[np.ndarray, "i j k"], scales: Sequence[tuple[float, float]]) -> list[Flag]:
    """A warning where a slice's scaling differs from its neighbours' and its brightness jumps with it.

    Why: slices may have a scaling of their own (Philips, PET). There it undoes how each was stored, so that brightness goes on
    smoothly. A damaged slope does the opposite: what was stored goes on smoothly, and the scaled slice stands out on both sides.

    Args:
        image: scaled values.
        scales: (slope, intercept) of each k.
    """
    if len(set(scales)) < 2 or any(slope == 0 for slope, _ in scales):
        return []
    step = max(1, max(image.shape[:2]) // 128)
    own = np.percentile(image[::step, ::step], _PERCENTILES, axis=(0, 1)).T  # (k, percentile)
    stored = np.array([(row - intercept) / slope for row, (slope, intercept) in zip(own, scales, strict=True)])

    def scaled(k: int, by: int) -> np.ndarray:
        return np.sort(stored[k] * scales[by][0] + scales[by][1])

    torn = [False] * (len(scales) + 1)
    jumps = [_apart(own[k - 1], own[k]) for k in range(1, len(scales))]
    usual = float(np.median(jumps))
    for k, jump in enumerate(jumps, start=1):
        alike = min(_apart(own[k - 1], scaled(k, k - 1)), _apart(own[k], scaled(k - 1, k)))
        torn[k] = scales[k - 1] != scales[k] and jump > max(_LEAST_JUMP, _CLEARLY * alike + 0.02, _UNUSUAL * usual)
    level = own.mean(axis=1)
    starts = [0, *(k for k in range(1, len(scales)) if scales[k] != scales[k - 1]), len(scales)]
    both, one = list[tuple[int, int]](), list[tuple[int, int]]()
    runs = list(itertools.pairwise(starts))
    for number, (first, end) in enumerate(runs):
        beside = runs[max(0, number - 1) : number] + runs[number + 1 : number + 2]
        if end - first > min((b - a for a, b in beside), default=0):  # what stands out is the shorter
            continue
        brighter = [level[first] > level[first - 1]] * torn[first]
        brighter += [level[end - 1] > level[end % len(level)]] * torn[end]
        if len(brighter) == 2 and brighter[0] == brighter[1]:
            both.append((first, end))
        elif brighter == [True] and (
            first == 0 or end == len(scales)
        ):  # towards the volume's end signal may fade, not grow
            one.append((first, end))
    return [_flag(first, end, level) for first, end in (both or one)[:8]]


def _flag(first: int, end: int, level: np.ndarray) -> Flag:
    beside = level[first - 1] if first > 0 else level[end]
    times = f", {level[first] / beside:.3g} times as bright" if beside > 0 and level[first] > 0 else ""
    which = f"Slice {end}" if end - first == 1 else f"Slices {first + 1} to {end}"
    text = (
        f"{which} stand{'s' if end - first == 1 else ''} out{times}, because of another RescaleSlope or RescaleIntercept than "
        "the slices beside: these values of the header are probably damaged."
    )
    return Flag("slice-scaling-odd", text)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """How much two slices' brightness differs, as a share of it."""
    size = float(np.abs(one).mean() + np.abs(other).mean()) / 2
    return float(np.abs(one - other).mean()) / size if size else 0.0
