"""Types and constants shared by every package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DEFAULT_WEIGHTS", "VERSION", "Axis", "Flag", "Phase", "Shape"]

VERSION = "0.1.0"
"""Version of this package."""

DEFAULT_WEIGHTS = "smart"
"""Bundled weights used by default: the best mean Dice on the validation subjects (docs/reference/models.md)."""

Shape = tuple[int, int, int]
"""Voxels along i, j, k."""

Axis = Literal["i", "j", "k"]

Phase = Literal["acute", "chronic", "control"]
"""Appearance of the infarct on T1w; `control` has none."""


@dataclass(frozen=True)
class Flag:
    """Something that the reader of a result or the owner of a cohort has to know.

    A `note` says what was done; a `warning` can reduce the trust in a mask; an `error` keeps a case of a cohort out
    of training.
    """

    code: str
    """Stable, kebab-case code; programs match on it."""
    text: str
    """One sentence for a person, including the value."""
    severity: Literal["note", "warning", "error"] = "warning"
