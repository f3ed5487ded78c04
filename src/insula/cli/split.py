"""Read split files and pick the cases of a fold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from insula.cohort import Cohort
    from insula.cohort.split import Fold, Split

__all__ = ["pick_fold", "read_json", "read_split", "test_part"]


def test_part(dataset: Cohort, split: Path | None, fold: int) -> tuple[str, ...] | None:
    """Return the names of the cases that a fold tests; None (all cases) without a split.

    Raises:
        NoInput, BadData, UsageError: as `read_split` and `pick_fold`.
    """
    if split is None:
        return None
    subjects = {entry.case: entry.subject for entry in dataset.entries}
    return pick_fold(read_split(split, subjects), fold).test


def read_split(path: Path, subjects: Mapping[str, str]) -> Split:
    """Read a split, and check it against the cases of a cohort.

    The check looks for missing cases and for subjects on both sides. Identical images and the cohort's hash are checked
    only when a split is created or exported, because that requires reading every scan.

    Args:
        path: the split file.
        subjects: case -> its subject.

    Raises:
        NoInput, BadData: the file is missing or not a split, cases are missing, or a subject is on both sides.
    """
    from insula.cohort.split import parse, refuse_leaks

    split = parse(read_json(path), name=path.name)
    refuse_leaks(split, subjects, name=path.name)
    return split


def read_json(path: Path) -> object:
    """Read the JSON of a split file, without checking its content.

    Raises:
        NoInput, BadData: the file does not exist, or is not JSON.
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
    """Return a fold of a split by its number.

    Raises:
        UsageError: the split has no such fold.
    """
    from insula.errors import UsageError

    if not 0 <= fold < len(split.folds):
        raise UsageError("--fold", fold, f"is not one of {len(split.folds)}", f"choose 0 to {len(split.folds) - 1}")
    return split.folds[fold]
