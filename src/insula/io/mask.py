"""Reads masks as tools and cohorts store them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from insula.errors import BadData
from insula.io.read import read_values
from insula.types import Flag
from insula.volume import Mask

__all__ = ["SeveralLabels", "read_mask"]

_ONE_LEVEL = 0.02  # labels that lie this near to each other are one, as 254 and 255


class SeveralLabels(BadData):
    """A mask has several labels, and none was chosen."""


def read_mask(path: str | Path, *, label: int | None = None) -> Mask:
    """Read a mask of lesion or brain, stored as 0 and 1, 0 and 0.99999998, 0 and 255, or as a probability map cut at 0.5.

    Args:
        path: a NIfTI file.
        label: the one that is lesion, for a map with several.

    Returns:
        The mask, with a flag for each thing that is unusual about how it is stored; it may mark nothing.

    Raises:
        BadData: unreadable, not finite, negative, or without the chosen label.
        SeveralLabels: several labels, and none was chosen.
        NoInput: no such file.
    """
    path = Path(path)
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
        return Mask(chosen, grid, _one_level(levels) if one and len(levels) > 1 else ())
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
        return Mask(values > 0.5, grid, (Flag("mask-probabilities", text),))
    lesion = [int(value) for value in whole if value != 0]
    if len(lesion) > 1 and max(lesion) - min(lesion) <= _ONE_LEVEL * max(lesion):
        return Mask(values > 0.5 * min(lesion), grid, _one_level(lesion))
    if len(lesion) > 1:
        rule = "has more than one label"
        raise SeveralLabels("the mask", f"with labels {lesion[:8]}", rule, "choose the label that is lesion")
    faults = (
        (Flag("mask-scaled", f"the mask marks lesion with {lesion[0]} instead of 1"),)
        if lesion and lesion[0] != 1
        else ()
    )
    return Mask(values > 0.5 * max([*lesion, 1]), grid, faults)


def _one_level(labels: list[int]) -> tuple[Flag, ...]:
    told = " and ".join(map(str, sorted(labels)[:4]))
    return (Flag("mask-near-level", f"the mask marks lesion with {told}, which were taken as one label"),)
