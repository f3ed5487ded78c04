"""Which cases a split file means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insula.cohort import Cohort

__all__ = ["test_part"]


def test_part(found: Cohort, split: Path | None, fold: int) -> tuple[str, ...] | None:
    """Names of the cases that a fold tests; None, for all, without a split.

    Absent cases and subjects on both sides are looked for here; identical images and the cohort's hash, which take a
    look at every scan, when a split is made and when it is exported.

    Raises:
        NoInput, BadData, UsageError: no such file, not a split, no such fold, absent cases, or a leak.
    """
    if split is None:
        return None
    import json

    from insula.cohort.split import parse, refuse_leaks
    from insula.errors import BadData, NoInput, UsageError

    try:
        tree = json.loads(split.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoInput("the split", split, "does not exist", "make it with `insula cohort split`") from None
    except ValueError as error:
        raise BadData("the split", split.name, f"is not JSON ({error})", "make it again") from None
    made = parse(tree, name=split.name)
    refuse_leaks(made, {entry.case: entry.subject for entry in found.entries}, name=split.name)
    if not 0 <= fold < len(made.folds):
        raise UsageError("--fold", fold, f"is not one of {len(made.folds)}", f"choose 0 to {len(made.folds) - 1}")
    return made.folds[fold].test
