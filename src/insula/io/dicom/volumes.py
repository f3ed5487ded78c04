"""The volumes that one series holds: echoes, repetitions, magnitude and phase, told apart by what the images say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from insula.io.dicom.slices import Slice

__all__ = ["Volume", "volumes_of"]

_SAME_DIRECTION = 1e-3
_STRAYS = 0.1  # of the images: fewer that lie in other directions are planning slices
_SAME_MM = 1e-2

_KEYS: tuple[tuple[str, Callable[[Slice], Hashable]], ...] = (
    ("part", lambda one: one.part),
    ("echo", lambda one: (one.echo_ms, one.time[:1])),
    ("moment", lambda one: one.time),
    ("acquisition", lambda one: one.acquisition),
    ("inversion", lambda one: one.inversion_ms),
    ("image type", lambda one: one.kind),
)


@dataclass(frozen=True)
class Volume:
    """Images of one series that lie side by side."""

    slices: tuple[Slice, ...]
    label: str = ""
    """What tells it from the series' other volumes, e.g. `echo 1`; empty where it is the only one."""
    strays: int = 0
    """Images in other directions that were left out."""


def volumes_of(series: Sequence[Slice]) -> list[Volume]:
    """The volumes of one series, the first of each kind first: magnitude before phase, short echoes and early acquisitions before others.

    Images of a series are one volume unless two lie at one place. Then they are told apart by the fewest attributes that do so: image
    type, echo, moment, acquisition. Where none does, they stay together, and stacking them refuses them.
    """
    main, strays = _one_direction(series)
    if not _overlap(main):
        return [Volume(tuple(main), strays=strays)]
    for count in range(1, len(_KEYS) + 1):
        for keys in (_KEYS[count - 1 : count], _KEYS[:count]):
            groups: dict[Hashable, list[Slice]] = {}
            for one in main:
                groups.setdefault(tuple(key(one) for _, key in keys), []).append(one)
            if len(groups) > 1 and not any(_overlap(group) for group in groups.values()):
                ordered = sorted(groups.values(), key=_rank)
                return [Volume(tuple(group), f"{keys[-1][0]} {n}", strays) for n, group in enumerate(ordered, 1)]
    return [Volume(tuple(main), strays=strays)]


def _one_direction(series: Sequence[Slice]) -> tuple[list[Slice], int]:
    """Those that lie in the direction of nearly all, and how many do not; all where no direction is of nearly all."""
    groups: list[list[Slice]] = []
    for one in series:
        for group in groups:
            if _alike(one.axes, group[0].axes):
                group.append(one)
                break
        else:
            groups.append([one])
    largest = max(groups, key=len)
    strays = len(series) - len(largest)
    return (largest, strays) if strays <= _STRAYS * len(series) else (list(series), 0)


def _alike(a: tuple[float, ...] | None, b: tuple[float, ...] | None) -> bool:
    return a is b or (a is not None and b is not None and float(np.abs(np.subtract(a, b)).max()) <= _SAME_DIRECTION)


def _overlap(some: Sequence[Slice]) -> bool:
    """Whether two images that are not copies of each other lie at one place."""
    placed = {(one.uid, one.frame): one.position for one in some if one.position is not None}
    if len(placed) < 2:
        return False
    places = np.array(list(placed.values()))
    along = places[np.lexsort(places.T[::-1])]
    return bool((np.abs(np.diff(along, axis=0)).max(1) < _SAME_MM).any())


def _rank(group: Sequence[Slice]) -> tuple[int, float, tuple[str, ...], int, float]:
    first = min(group, key=lambda one: one.number or 0)
    return (first.part != "magnitude", first.echo_ms or 0.0, first.time, first.acquisition or 0, first.number or 0)
