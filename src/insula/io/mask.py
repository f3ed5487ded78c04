"""Reads masks in the forms that tools and cohorts store them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from insula.errors import BadData, UsageError
from insula.io.read import read_values
from insula.types import Flag
from insula.volume import Mask

__all__ = ["SeveralLabels", "read_mask"]

_ONE_LEVEL = 0.02  # labels within this share of each other count as one, e.g. 254 and 255


class SeveralLabels(BadData):
    """A mask has several labels and none was chosen."""


def read_mask(path: str | Path, *, label: int | None = None) -> Mask:
    """Read a mask of lesion or brain.

    The file may hold 0 and 1, 0 and 0.99999998, 0 and 255, or probabilities, which are thresholded at 0.5.

    Args:
        path: a NIfTI file.
        label: the lesion's label, for a map with several labels.

    Returns:
        The mask, which may be empty, with a flag for each unusual property of the file.

    Raises:
        BadData: the file is unreadable or 4-D, has values that are not finite or negative, or lacks the chosen label.
        SeveralLabels: the file has several labels and none was chosen.
        NoInput: the file does not exist.
    """
    path = Path(path)
    try:
        values, grid = read_values(path)
    except UsageError as error:  # nobody chooses a volume of a mask
        raise BadData(f"the mask: {error.what}", error.value, error.rule, "save one 3-D volume") from None
    if not np.isfinite(values).all():
        raise BadData("the mask", path.name, "holds NaN or infinite voxels", "save it again as 0 and 1")
    kinds = np.unique(values)
    if label is not None:
        marked = kinds[np.abs(kinds) > 0.5]
        is_single = len(marked) > 0 and bool(np.abs(marked - label).max() <= _ONE_LEVEL * label)
        chosen = np.abs(values) > 0.5 if is_single else np.abs(values - label) < 0.5
        if kinds.any() and not chosen.any():
            rule = f"has no label {label}"
            raise BadData("the mask", f"with values up to {kinds.max():g}", rule, "check which label is the lesion")
        levels = sorted({round(float(kind)) for kind in marked})
        return Mask(chosen, grid, _one_level(levels) if is_single and len(levels) > 1 else ())
    whole = np.unique(np.round(kinds))
    if kinds.min() < -1e-3:
        raise BadData("the mask", f"with the value {kinds.min():g}", "has negative values", "save it again as 0 and 1")
    if np.abs(kinds - np.round(kinds)).max() > 1e-3:
        if kinds.max() > 1 + 1e-3:
            raise BadData(
                "the mask", f"with values up to {kinds.max():g}", "is neither labels nor probabilities", "threshold it"
            )
        text = f"the mask holds {len(kinds)} values between 0 and 1, taken as probabilities and thresholded at 0.5"
        return Mask(values > 0.5, grid, (Flag("mask-probabilities", text),))
    lesion = [int(value) for value in whole if value != 0]
    if len(lesion) > 1 and max(lesion) - min(lesion) <= _ONE_LEVEL * max(lesion):
        return Mask(values > 0.5 * min(lesion), grid, _one_level(lesion))
    if len(lesion) > 1:
        rule = "has more than one label"
        raise SeveralLabels("the mask", f"with labels {lesion[:8]}", rule, "choose the lesion's with `label`")
    flags = (
        (Flag("mask-scaled", f"the mask marks lesion with {lesion[0]} instead of 1"),)
        if lesion and lesion[0] != 1
        else ()
    )
    return Mask(values > 0.5 * max([*lesion, 1]), grid, flags)


def _one_level(labels: list[int]) -> tuple[Flag, ...]:
    values = " and ".join(map(str, sorted(labels)[:4]))
    return (Flag("mask-near-level", f"the mask marks lesion with {values}, which were taken as one label"),)
