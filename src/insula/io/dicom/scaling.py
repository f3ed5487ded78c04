"""Checks whether RescaleSlope and RescaleIntercept of each slice fit those of its neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from insula.types import Flag

__all__ = ["doubt_scaling"]

_TAGS = ("RescaleSlope", "RescaleIntercept")

_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)  # symmetric, because a negative slope reverses them
_LEAST_JUMP = 0.1  # of the brightness; neighbouring slices may differ by less
_CLEARLY = 2.0  # times smoother with the neighbour's scaling than with its own
_UNUSUAL = 3.0  # times the median step from slice to slice


def doubt_scaling(image: Float[np.ndarray, "i j k"], scales: Sequence[tuple[float, float]]) -> list[Flag]:
    """Return a warning for each run of slices whose scaling differs from its neighbours' and whose brightness jumps.

    Slices may have scalings of their own (Philips, PET). A valid scaling reverses how each slice was stored, so that
    the brightness is smooth across slices. With a damaged slope it is the stored values that are smooth, and the scaled
    slice stands out on both sides.

    Args:
        image: scaled values.
        scales: (slope, intercept) of each k.

    Returns:
        At most 8 flags; none if all slices have the same scaling.
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
    two_sided, one_sided = list[tuple[int, int]](), list[tuple[int, int]]()
    runs = list(itertools.pairwise(starts))
    for number, (first, end) in enumerate(runs):
        beside = runs[max(0, number - 1) : number] + runs[number + 1 : number + 2]
        if end - first > min((b - a for a, b in beside), default=0):  # the outlier is the shorter run
            continue
        brighter = [level[first] > level[first - 1]] * torn[first]
        brighter += [level[end - 1] > level[end % len(level)]] * torn[end]
        if len(brighter) == 2 and brighter[0] == brighter[1]:
            two_sided.append((first, end))
        # towards the ends of the volume the signal may fade, not grow
        elif brighter == [True] and (first == 0 or end == len(scales)):
            one_sided.append((first, end))
    return [_flag(first, end, level, scales) for first, end in (two_sided or one_sided)[:8]]


def _flag(first: int, end: int, level: np.ndarray, scales: Sequence[tuple[float, float]]) -> Flag:
    neighbour = first - 1 if first > 0 else end
    beside = level[neighbour]
    times = f", {level[first] / beside:.3g} times as bright" if beside > 0 and level[first] > 0 else ""
    which = f"Slice {end}" if end - first == 1 else f"Slices {first + 1} to {end}"
    odd = [n for n in range(2) if scales[first][n] != scales[neighbour][n]]
    own = " and ".join(f"{_TAGS[n]} ({scales[first][n]:.4g})" for n in odd)
    others = " and ".join(f"{scales[neighbour][n]:.4g}" for n in odd)
    differs = "differ from those" if len(odd) > 1 else "differs from that"
    damaged = "these header values are" if len(odd) > 1 else "this header value is"
    text = (
        f"{which} stand{'s' if end - first == 1 else ''} out{times}, because {own} {differs} of the neighbouring "
        f"slices ({others}): {damaged} probably damaged."
    )
    return Flag("slice-scaling-odd", text)


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    """Return the difference in brightness of two slices, as a share of their mean brightness."""
    size = float(np.abs(first).mean() + np.abs(second).mean()) / 2
    return float(np.abs(first - second).mean()) / size if size else 0.0
