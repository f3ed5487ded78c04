"""Separates the volumes of one series (echoes, repetitions, magnitude and phase) by the images' attributes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from insula.io.dicom.slices import Slice

__all__ = ["Volume", "volumes_of"]

_SAME_DIRECTION = 1e-3
_STRAYS = 0.1  # of the images: a smaller share in other orientations are planning slices
_SAME_MM = 1e-2

_KEYS: tuple[tuple[str, Callable[[Slice], Hashable]], ...] = (
    ("part", lambda slice_: slice_.part),
    ("echo", lambda slice_: (slice_.echo_ms, slice_.time[:1])),
    ("time point", lambda slice_: slice_.time),
    ("acquisition", lambda slice_: slice_.acquisition),
    ("inversion", lambda slice_: slice_.inversion_ms),
    ("image type", lambda slice_: slice_.kind),
)


@dataclass(frozen=True)
class Volume:
    """Images of one series that form a stack."""

    slices: tuple[Slice, ...]
    label: str = ""
    """Distinguishes it from the series' other volumes, e.g. `echo 1`; empty for a single volume."""
    strays: int = 0
    """Number of images in other orientations that were left out."""


def volumes_of(series: Sequence[Slice]) -> list[Volume]:
    """Return the volumes of one series: magnitude before phase, then by echo time and acquisition.

    The images of a series form one volume unless two share a position. They are then separated by the fewest attributes
    that suffice: part of the complex image, echo, time point, acquisition, inversion or image type. If none does, they
    stay together, and `stack_slices` refuses them.
    """
    main, strays = _one_direction(series)
    if not _overlap(main):
        return [Volume(tuple(main), strays=strays)]
    for count in range(1, len(_KEYS) + 1):
        for keys in (_KEYS[count - 1 : count], _KEYS[:count]):
            groups: dict[Hashable, list[Slice]] = {}
            for slice_ in main:
                groups.setdefault(tuple(key(slice_) for _, key in keys), []).append(slice_)
            if len(groups) > 1 and not any(_overlap(group) for group in groups.values()):
                ordered = sorted(groups.values(), key=_rank)
                return [Volume(tuple(group), f"{keys[-1][0]} {n}", strays) for n, group in enumerate(ordered, 1)]
    return [Volume(tuple(main), strays=strays)]


def _one_direction(series: Sequence[Slice]) -> tuple[list[Slice], int]:
    """Return the images in the predominant orientation and the number of others; all images if none predominates."""
    groups: list[list[Slice]] = []
    for slice_ in series:
        for group in groups:
            if _alike(slice_.axes, group[0].axes):
                group.append(slice_)
                break
        else:
            groups.append([slice_])
    largest = max(groups, key=len)
    strays = len(series) - len(largest)
    return (largest, strays) if strays <= _STRAYS * len(series) else (list(series), 0)


def _alike(a: tuple[float, ...] | None, b: tuple[float, ...] | None) -> bool:
    return a is b or (a is not None and b is not None and float(np.abs(np.subtract(a, b)).max()) <= _SAME_DIRECTION)


def _overlap(slices: Sequence[Slice]) -> bool:
    """Whether two images that are not copies of each other share a position."""
    placed = {(slice_.uid, slice_.frame): slice_.position for slice_ in slices if slice_.position is not None}
    if len(placed) < 2:
        return False
    places = np.array(list(placed.values()))
    along = places[np.lexsort(places.T[::-1])]
    return bool((np.abs(np.diff(along, axis=0)).max(1) < _SAME_MM).any())


def _rank(group: Sequence[Slice]) -> tuple[int, float, tuple[str, ...], int, float]:
    first = min(group, key=lambda slice_: slice_.number or 0)
    return (first.part != "magnitude", first.echo_ms or 0.0, first.time, first.acquisition or 0, first.number or 0)
