"""Values that are no signal: what a scanner, an exporter or a tool wrote where nothing was measured."""

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
    """Give voxels without signal the level of air, before any intensity is measured.

    Padding is one exact value, seen at the volume's corners or edges. It is set aside where it lies far below or above all other
    values, as -1000 or 65535 in a scan from 0 to 900 does, or amid them, as a background of 0 does in a brain whose intensities
    were standardised, or where it alone is negative. A background of 0 below all signal, as most stripped scans have it, is left as
    it is.

    Args:
        image: finite but where padding is declared; untouched.
        flags: gets what was set aside.
        declared: voxels of which the file itself says so.

    Returns:
        The image, a copy if anything was set aside.
    """
    if declared is not None and declared.any() and not declared.all():
        image = _filled(image, declared, f"{declared.mean():.1%} of the voxels are padding, as the file says", flags)
    for value in sorted({float(image[place]) for place in _places(image.shape)}):
        same = image == value
        share = float(same.mean())
        if share < _LEAST_SHARE or share == 1:
            continue
        others = _thinned(image)
        others = others[others != value]
        if not len(others):
            continue
        low, high = (float(x) for x in np.percentile(others, [0.5, 99.5]))
        width = high - low
        if width == 0 or (value == 0 <= low):  # two values in all, as in a mask; or air as it should be
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
        Flag("padding-set-aside", f"{what}: that is no signal, and they were given the level of air, {air:g}.", "note")
    )
    return np.where(padding, np.float32(air), image)


def _thinned(volume: NDArray[_Kind]) -> NDArray[_Kind]:
    step = max(1, round((volume.size / _SAMPLE) ** (1 / 3)))
    return volume[::step, ::step, ::step].ravel()


def _places(shape: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Corners, and the middles of edges and faces."""
    every = itertools.product(*[(0, n // 2, n - 1) for n in shape])
    return {place for place in every if any(x in (0, n - 1) for x, n in zip(place, shape, strict=True))}
