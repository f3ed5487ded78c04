"""Which cases a split file means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insula.cohort import Cohort

__all__ = ["test_part"]


def test_part(found: Cohort, split: Path | None, fold: int) -> tuple[str, ...] | None:
    """Names of the cases that a fold tests; None, for all, without a split.

    Raises:
        NoInput, BadData, UsageError: no such file, not a split, no such fold, or absent cases.
    """
    if split is None:
        return None
    import json

    from insula.errors import BadData, NoInput, UsageError

    try:
        tree = json.loads(split.read_text(encoding="utf-8"))
        folds = [tuple(one["test"]) for one in tree["folds"]]
    except FileNotFoundError:
        raise NoInput("the split", split, "does not exist", "make it with `insula cohort split`") from None
    except (ValueError, KeyError, TypeError) as error:
        rule = f"is not what `insula cohort split` wrote ({error})"
        raise BadData("the split", split.name, rule, "make it again") from None
    if not 0 <= fold < len(folds):
        raise UsageError("--fold", fold, f"is not one of {len(folds)}", f"choose 0 to {len(folds) - 1}")
    absent = set(folds[fold]) - {entry.case for entry in found.entries}
    if absent:
        rule = f"names {len(absent)} cases that are not in the cohort, e.g. {min(absent)}"
        raise BadData("the split", split.name, rule, "make it again")
    return folds[fold]
