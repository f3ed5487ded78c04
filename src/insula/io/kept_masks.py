"""Masks that a correction keeps beside a case's own: their names, and how to tell them from masks of cases."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["KeptMask", "earlier_mask", "earlier_masks", "edited_masks", "kept_mask"]

Kind = Literal["network", "edited", "earlier"]

_MASK = "_mask.nii.gz"
_BIDS = "_desc-insula"  # before `_mask` in the name of a case's own mask, if it is in a BIDS derivative
_NAMES: dict[Kind, re.Pattern[str]] = {
    "network": re.compile(r"(_desc-network|_network)_mask\.nii(\.gz)?$"),
    "edited": re.compile(r"(_desc-corrected_mask|_corrected)\.nii(\.gz)?$"),
    "earlier": re.compile(r"_corrected-[0-9a-f]{8}_mask\.nii(\.gz)?$"),
}


class KeptMask(NamedTuple):
    """A mask that is kept beside the mask of its case."""

    kind: Kind
    """`network`: the network's; `edited`: as a person saved it; `earlier`: a correction that was replaced."""
    mask: Path
    """The case's own mask."""


def kept_mask(path: Path) -> KeptMask | None:
    """Return what a file is to the mask beside which it is kept; None for any other file.

    The name alone decides nothing: without `NAME_mask.nii.gz` beside it, `NAME_network_mask.nii.gz` is the own mask of
    a case.

    Args:
        path: the file.
    """
    for kind, pattern in _NAMES.items():
        if match := pattern.search(path.name):
            own = path.name[: match.start()] + (_BIDS if match[0].startswith("_desc-") else "") + _MASK
            for mask in (path.with_name(own), path.with_name(own.removesuffix(".gz"))):
                if mask.is_file():
                    return KeptMask(kind, mask)
    return None


def edited_masks(mask: Path) -> list[Path]:
    """Return the files under the name that a person gives to an edited mask beside the case's own, sorted.

    Args:
        mask: the case's own mask, `NAME_mask.nii.gz`: `NAME_corrected.nii*`; in a BIDS derivative, where its name ends
            with `_desc-insula_mask.nii.gz`, that name with `desc-corrected`.
    """
    name = mask.name.removesuffix(_MASK)
    edited = f"{name.removesuffix(_BIDS)}_desc-corrected_mask" if name.endswith(_BIDS) else f"{name}_corrected"
    return sorted(mask.parent.glob(f"{glob.escape(edited)}.nii*"))


def earlier_mask(mask: Path, sha256: str) -> Path:
    """Return the path to which a person's mask is renamed before another takes its place.

    Args:
        mask: the case's own mask.
        sha256: hash of its file.
    """
    return mask.with_name(f"{mask.name.removesuffix(_MASK)}_corrected-{sha256[:8]}{_MASK}")


def earlier_masks(mask: Path) -> list[Path]:
    """Return the files that were renamed so, sorted.

    Args:
        mask: the case's own mask.
    """
    return sorted(mask.parent.glob(f"{glob.escape(mask.name.removesuffix(_MASK))}_corrected-????????{_MASK}"))
