"""Orders loose slices into the grid of one volume; every doubt becomes an error or a flag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from insula.errors import BadData, TooLarge
from insula.geometry import Grid
from insula.io.dicom.slices import Slice
from insula.types import Flag

__all__ = ["Stack", "stack_slices"]

_UNEVEN = 0.01  # between pixel spacings
# The share of a voxel that a slice may deviate from an even stack: positions are rounded, to 0.01 mm or worse.
_OFF = 0.1
_SAME_PLACE = 0.05  # of a step
_NEAR_MM = 1e-3
_SAME_DIRECTION = 1e-3  # between direction cosines, which scanners write with six digits
_APART = 1.2  # ratio of step to slice thickness above which there are gaps
_MOST_BYTES = 2 << 30  # of an image in float32
_EXPORT = "export the whole series again"


@dataclass(frozen=True)
class Stack:
    """Ordered slices and their grid."""

    slices: tuple[Slice, ...]
    """The slice of each k."""
    grid: Grid
    """i along a row, j along a column, k from slice to slice; RAS+ millimetres."""
    flags: tuple[Flag, ...]


def stack_slices(slices: Sequence[Slice]) -> Stack:
    """Sort the slices of one series along their normal.

    Args:
        slices: the slices of one series, in any order.

    Returns:
        The sorted slices, their grid and flags.

    Raises:
        BadData: the slices come from several patients; differ in size, orientation or pixel spacing; have no position
            or share one; have uneven steps (a gap); or are too few to be a volume.
        TooLarge: the image would have more than 2 GiB, by the headers.
    """
    flags: list[Flag] = []
    slices = _without_copies(slices, flags)
    first = slices[0]
    if len({slice_.patient for slice_ in slices}) > 1:
        raise BadData("the series", "", "comes from several patients", _EXPORT)
    if any(slice_.position is None or slice_.axes is None or slice_.spacing_mm is None for slice_ in slices):
        raise BadData("the series", "", "does not say where its slices lie (ImagePositionPatient)", _EXPORT)
    if len({slice_.shape for slice_ in slices}) > 1:
        raise BadData("the slices", "", "do not all have the same size", "give one volume")
    axes = np.array([slice_.axes for slice_ in slices])
    if np.abs(axes - axes[0]).max() > _SAME_DIRECTION:
        raise BadData("the slices", "", "do not all lie in one direction", "give one volume")
    spacings = np.array([slice_.spacing_mm for slice_ in slices])
    if spacings.min() <= 0 or np.abs(spacings / spacings[0] - 1).max() > _UNEVEN:
        raise BadData("the pixel spacing", "", "is not above 0 and the same in all slices", _EXPORT)
    along, across = axes[0, :3], axes[0, 3:]
    lengths = np.linalg.norm(axes[0].reshape(2, 3), axis=1)
    if np.abs(lengths - 1).max() > _SAME_DIRECTION or abs(along @ across) > _SAME_DIRECTION:
        raise BadData("the slices' direction", "", "is not two right-angled unit vectors", _EXPORT)
    if len(slices) < 2:
        raise BadData("the series", "of 1 slice", "is not a volume", "give the whole series")
    rows, columns = first.shape
    if (size := 4 * rows * columns * len(slices)) > _MOST_BYTES:
        rule = f"would be {size / 2**30:.1f} GiB, over the limit of {_MOST_BYTES >> 30} GiB"
        raise TooLarge("the image", f"of {columns}x{rows}x{len(slices)} voxels", rule, "check the headers")

    places = np.array([slice_.position for slice_ in slices])
    heights = places @ np.cross(along, across)
    order = np.argsort(heights, kind="stable")
    slices, places, heights = [slices[n] for n in order], places[order], heights[order]
    _refuse_twice(heights, len({slice_.time for slice_ in slices}))
    origin, step = _even_stack(places)
    _refuse_uneven(places - origin - np.arange(len(places))[:, None] * step, heights, axes[0], (*spacings[0],))
    flags += _doubts(slices, float(np.linalg.norm(step)))
    affine = np.eye(4)
    between_rows, between_columns = spacings[0]
    affine[:3] = np.stack([along * between_columns, across * between_rows, step, origin], axis=1)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # LPS -> RAS
    return Stack(tuple(slices), Grid((columns, rows, len(slices)), affine), tuple(flags))


def _without_copies(slices: Sequence[Slice], flags: list[Flag]) -> list[Slice]:
    """Return each image once; images that are identical and share a UID are copies."""
    kept: dict[tuple[str, int | None], Slice] = {}
    for slice_ in sorted(slices, key=lambda slice_: str(slice_.path)):
        known = kept.setdefault((slice_.uid, slice_.frame), slice_)
        if known is not slice_ and replace(known, path=slice_.path) != slice_:
            raise BadData("two images", "", "differ but have the same UID", _EXPORT)
    if len(kept) < len(slices):
        count = len(slices) - len(kept)
        flags.append(
            Flag(
                "copies-skipped", f"{count} image{'s' if count > 1 else ''} occurred twice; one copy of each was used."
            )
        )
    return list(kept.values())


def _refuse_twice(heights: np.ndarray, times: int) -> None:
    steps = np.diff(heights)
    same = int((steps < max(_NEAR_MM, _SAME_PLACE * float(np.median(steps)))).sum())
    if same:
        rule = "lies where another does" if same == 1 else "lie where others do"
        why = "; they belong to several echoes or time points" if times > 1 else ""
        raise BadData(f"{same} slice{'s' if same > 1 else ''}", "", rule + why, "give one volume")


def _even_stack(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the origin [mm] and the step [mm] of the even stack that fits all slices best, by least squares."""
    k = np.arange(len(places)) - (len(places) - 1) / 2
    step = k @ places / (k @ k)
    return places.mean(axis=0) + k[0] * step, step


def _refuse_uneven(off: np.ndarray, heights: np.ndarray, axes: np.ndarray, spacing_mm: tuple[float, float]) -> None:
    """Refuse slices that deviate from their expected positions by more than a tenth of a voxel.

    Args:
        off: actual minus expected position of each slice [mm].
        heights: positions along the normal [mm].
        axes: direction cosines of a row, then of a column.
        spacing_mm: distance between rows, then between columns.
    """
    along, across = axes[:3], axes[3:]
    steps = np.diff(heights)
    usual = float(np.median(steps))
    if np.abs(off @ np.cross(along, across)).max() > _OFF * usual + _NEAR_MM:
        place = int(np.argmax(np.abs(steps - usual)))
        rule = f"is {steps[place]:.3g} mm where the others are {usual:.3g} mm: slices are missing or unevenly spaced"
        raise BadData("the step", f"from slice {place + 1} to {place + 2}", rule, _EXPORT)
    sideways = max(np.abs(off @ along).max() / spacing_mm[1], np.abs(off @ across).max() / spacing_mm[0])
    if sideways > _OFF + _NEAR_MM:
        raise BadData("the slices", "", "do not lie in one line", "give one volume")


def _doubts(slices: Sequence[Slice], step_mm: float) -> list[Flag]:
    flags = []
    thick = slices[0].thickness_mm
    if thick and step_mm > _APART * thick:
        text = (
            f"Slices are {thick:.3g} mm thick and {step_mm:.3g} mm apart: there are gaps between them, or every other "
            "slice is missing."
        )
        flags.append(Flag("slices-apart", text))
    numbers = sorted(slice_.number for slice_ in slices if slice_.number is not None and slice_.frame is None)
    if len(numbers) == len(slices) and len(set(numbers)) == len(numbers):
        if numbers[0] > 1:
            text = f"The first image has number {numbers[0]}: earlier images are missing."
            flags.append(Flag("first-images-missing", text))
        if numbers[-1] - numbers[0] + 1 > len(numbers):
            count = numbers[-1] - numbers[0] + 1 - len(numbers)
            flags.append(Flag("image-numbers-missing", f"{count} image numbers are missing."))
    return flags
