"""Replaces padding: values that a scanner, an exporter or a tool wrote where nothing was measured."""

from __future__ import annotations

import itertools
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from insula.types import Flag

__all__ = ["set_aside"]

_Kind = TypeVar("_Kind", np.float32, np.bool_)
_SAMPLE = 1_000_000
_LEAST_SHARE = 0.001
_FAR, _APART = 0.5, 0.02  # of the range of all other values
_INSIDE_SHARE, _INSIDE_BELOW = 0.3, 0.02
_AIR_PERCENT = 0.5


def set_aside(
    image: NDArray[np.float32], flags: list[Flag], *, declared: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Replace padding by the level of air, before any intensity is measured.

    Padding is one exact value that occurs at the volume's corners, edges or faces. It is replaced if it is far below or
    above all other values, such as -1000 or 65535 in a scan from 0 to 900; if it is amid the other values, such as a
    background of 0 in a brain with standardised intensities; or if it is the only negative value. A background of 0
    below all signal, as in most skull-stripped scans, is kept.

    Args:
        image: finite except where padding is declared; not changed.
        flags: receives a flag for each replaced value.
        declared: voxels that the file declares as padding.

    Returns:
        The image, or a copy if anything was replaced.
    """
    if declared is not None and declared.any() and not declared.all():
        image = _filled(
            image, declared, f"{declared.mean():.1%} of the voxels are padding according to the file", flags
        )
    for value in sorted({float(image[place]) for place in _places(image.shape)}):
        same = image == value
        share = float(same.mean())
        if share < _LEAST_SHARE or share == 1:
            continue
        others = _thinned(image)
        others = others[others != value]
        if not len(others):
            continue
        low, high = (float(level) for level in np.percentile(others, [0.5, 99.5]))
        width = high - low
        if width == 0 or (value == 0 <= low):  # only two values, as in a mask; or normal air
            continue
        below = float((others < value).mean())
        inside = share >= _INSIDE_SHARE and _INSIDE_BELOW <= below <= 1 - _INSIDE_BELOW
        negative = value < 0 <= low and value < low - _APART * width
        if value < low - _FAR * width or value > high + _FAR * width or negative or inside:
            where = "amid the others" if inside else "far from all others"
            image = _filled(image, same, f"{share:.1%} of the voxels have exactly the value {value:g}, {where}", flags)
    return image


def _filled(
    image: NDArray[np.float32], padding: NDArray[np.bool_], what: str, flags: list[Flag]
) -> NDArray[np.float32]:
    rest = _thinned(image)[~_thinned(padding)]
    air = float(np.percentile(rest if len(rest) else image[~padding], _AIR_PERCENT))
    flags.append(
        Flag("padding-set-aside", f"{what}; they hold no signal and were set to the level of air, {air:g}.", "note")
    )
    return np.where(padding, np.float32(air), image)


def _thinned(volume: NDArray[_Kind]) -> NDArray[_Kind]:
    step = max(1, round((volume.size / _SAMPLE) ** (1 / 3)))
    return volume[::step, ::step, ::step].ravel()


def _places(shape: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Return the corners and the middles of edges and faces."""
    every = itertools.product(*[(0, n // 2, n - 1) for n in shape])
    return {place for place in every if any(index in (0, size - 1) for index, size in zip(place, shape, strict=True))}
