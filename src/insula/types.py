"""The small words that every floor shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DEFAULT_WEIGHTS", "VERSION", "Axis", "Flag", "Phase", "Shape"]

VERSION = "0.1.0"
"""Of this package."""

DEFAULT_WEIGHTS = "smart"
"""Of the bundled ones: the best mean Dice on the validation subjects (docs/reference/models.md)."""

Shape = tuple[int, int, int]
"""Voxels along i, j, k."""

Axis = Literal["i", "j", "k"]

Phase = Literal["acute", "chronic", "control"]
"""What the infarct looks like on T1w; `control` has none."""


@dataclass(frozen=True)
class Flag:
    """Something that a careful reader of a result, or the owner of a cohort, has to know.

    A `note` says what was done; a `warning` can change how far a mask may be trusted; an `error` keeps a case of a cohort out
    of training.
    """

    code: str
    """Stable, kebab-case; programs match on it."""
    text: str
    """One sentence for a person, with the value in it."""
    severity: Literal["note", "warning", "error"] = "warning"
