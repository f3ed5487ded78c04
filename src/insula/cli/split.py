"""Which cases a split file means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from insula.cohort import Cohort
    from insula.cohort.split import Fold, Split

__all__ = ["pick_fold", "read_json", "read_split", "test_part"]


def test_part(found: Cohort, split: Path | None, fold: int) -> tuple[str, ...] | None:
    """Names of the cases that a fold tests; None, for all, without a split.

    Raises:
        NoInput, BadData, UsageError: as `read_split` and `pick_fold`.
    """
    if split is None:
        return None
    made = read_split(split, {entry.case: entry.subject for entry in found.entries})
    return pick_fold(made, fold).test


def read_split(path: Path, subjects: Mapping[str, str]) -> Split:
    """A split of the cases that are there.

    Absent cases and subjects on both sides are looked for here; identical images and the cohort's hash, which take a
    look at every scan, when a split is made and when it is exported.

    Args:
        path: the file.
        subjects: case -> whose it is.

    Raises:
        NoInput, BadData: no such file, not a split, absent cases, or a leak.
    """
    from insula.cohort.split import parse, refuse_leaks

    made = parse(read_json(path), name=path.name)
    refuse_leaks(made, subjects, name=path.name)
    return made


def read_json(path: Path) -> Any:
    """What a split file holds, not yet looked at.

    Raises:
        NoInput, BadData: no such file, or not JSON.
    """
    import json

    from insula.errors import BadData, NoInput

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoInput("the split", path, "does not exist", "make it with `insula cohort split`") from None
    except ValueError as error:
        raise BadData("the split", path.name, f"is not JSON ({error})", "make it again") from None


def pick_fold(split: Split, fold: int) -> Fold:
    """One of its folds.

    Raises:
        UsageError: no such fold.
    """
    from insula.errors import UsageError

    if not 0 <= fold < len(split.folds):
        raise UsageError("--fold", fold, f"is not one of {len(split.folds)}", f"choose 0 to {len(split.folds) - 1}")
    return split.folds[fold]
