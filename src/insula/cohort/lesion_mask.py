"""A lesion mask as cohorts store it, and what is wrong with a case or its mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.geometry import Grid, axis_map, reordered, unlike_in_order
from insula.io import read_values

__all__ = ["SEVERAL", "Fault", "LesionMask", "read_lesion"]

Severity = Literal["error", "warning"]

SEVERAL = "has more than one label"
"""The rule that a mask with several labels breaks."""
_ONE_LEVEL = 0.02  # labels that lie this near to each other are one, as 254 and 255


@dataclass(frozen=True)
class Fault:
    """Something wrong with a case."""

    code: str
    """Stable, kebab-case."""
    text: str
    """One sentence with the value in it."""
    severity: Severity = "error"
    """An error keeps the case out of training; a warning wants a look."""


@dataclass(frozen=True, eq=False)
class LesionMask:
    """A mask as far as it can be read."""

    voxels: NDArray[np.bool_]
    grid: Grid
    faults: tuple[Fault, ...] = ()

    def onto(self, grid: Grid, *, of: str) -> LesionMask:
        """The same mask on its scan's grid: another axis order of the same voxels is brought over, voxel by voxel.

        Args:
            grid: the scan's.
            of: the case, for the message.

        Raises:
            BadData: the mask's voxels are others, or lie elsewhere.
        """
        axes = axis_map(self.grid, grid)
        if axes is None:
            raise BadData(
                "the mask of",
                f"{of} ({unlike_in_order(self.grid, grid)})",
                "does not lie on its scan's grid",
                "see `insula cohort check`",
            )
        if axes.same:
            return self
        text = f"the mask is stored in the axis order {self.grid.axcodes} and its scan in {grid.axcodes}; it was brought over"
        voxels = np.ascontiguousarray(axes.apply(self.voxels))
        return LesionMask(voxels, reordered(self.grid, axes), (*self.faults, Fault("mask-reordered", text, "warning")))


def read_lesion(path: Path, *, label: int | None = None) -> LesionMask:
    """Read a mask as cohorts store them: 1, 0.99999998, 255, or a probability map.

    Args:
        path: a NIfTI file.
        label: the one that is lesion, for a map with several.

    Raises:
        BadData: unreadable, not finite, negative, several labels and none chosen, or not the one that was.
    """
    values, grid = read_values(path)
    if not np.isfinite(values).all():
        raise BadData("the mask", path.name, "holds NaN or infinite voxels", "write it anew as 0 and 1")
    kinds = np.unique(values)
    if label is not None:
        marked = kinds[np.abs(kinds) > 0.5]
        one = len(marked) > 0 and bool(np.abs(marked - label).max() <= _ONE_LEVEL * label)
        chosen = np.abs(values) > 0.5 if one else np.abs(values - label) < 0.5
        if kinds.any() and not chosen.any():
            rule = f"has no label {label}"
            raise BadData("the mask", f"with values up to {kinds.max():g}", rule, "see which label is lesion")
        levels = sorted({round(float(kind)) for kind in marked})
        return LesionMask(chosen, grid, _one_level(levels) if one and len(levels) > 1 else ())
    whole = np.unique(np.round(kinds))
    if kinds.min() < -1e-3:
        raise BadData(
            "the mask", f"with the value {kinds.min():g}", "is negative somewhere", "write it anew as 0 and 1"
        )
    if np.abs(kinds - np.round(kinds)).max() > 1e-3:
        if kinds.max() > 1 + 1e-3:
            raise BadData(
                "the mask", f"with values up to {kinds.max():g}", "is neither labels nor probabilities", "threshold it"
            )
        text = f"the mask holds {len(kinds)} values between 0 and 1: probabilities, cut at 0.5"
        return LesionMask(values > 0.5, grid, (Fault("mask-probabilities", text, "warning"),))
    lesion = [int(value) for value in whole if value != 0]
    if len(lesion) > 1 and max(lesion) - min(lesion) <= _ONE_LEVEL * max(lesion):
        return LesionMask(values > 0.5 * min(lesion), grid, _one_level(lesion))
    if len(lesion) > 1:
        raise BadData("the mask", f"with labels {lesion[:8]}", SEVERAL, "say which one is lesion with --label")
    faults = (
        (Fault("mask-scaled", f"the mask marks lesion with {lesion[0]} instead of 1", "warning"),)
        if lesion and lesion[0] != 1
        else ()
    )
    return LesionMask(values > 0.5 * max([*lesion, 1]), grid, faults)


def _one_level(labels: list[int]) -> tuple[Fault, ...]:
    told = " and ".join(map(str, sorted(labels)[:4]))
    return (Fault("mask-near-level", f"the mask marks lesion with {told}, which were taken as one label", "warning"),)
