"""Splits of a cohort into training and test cases, made once and written to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from insula.cohort.check import CheckedCohort
from insula.cohort.deal import By, connected, deal
from insula.cohort.examination import CheckedCase
from insula.errors import BadData, UsageError

__all__ = [
    "Fold",
    "Split",
    "from_dict",
    "make_folds",
    "make_holdout",
    "nest",
    "parse",
    "refuse_leaks",
    "to_dict",
]

_FORMAT = "insula-split/1"


@dataclass(frozen=True, kw_only=True)
class Fold:
    """The case names of one training part and one test part."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    inner: tuple[Fold, ...] = ()
    """Folds of the training part, when nested."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The folds of one cohort."""

    cohort_sha256: str
    by: By
    seed: int
    folds: tuple[Fold, ...]

    @property
    def every(self) -> tuple[Fold, ...]:
        """All folds, including the inner ones."""
        return tuple(member for fold in self.folds for member in (fold, *fold.inner))


def make_holdout(checked: CheckedCohort, *, by: By, fraction: float, seed: int) -> Split:
    """Make one split into a training part of `fraction` and a test part.

    Raises:
        UsageError: the fraction is not between 0 and 1, or there are too few groups to split.
    """
    if not 0 < fraction < 1:
        raise UsageError("`fraction`", fraction, "is not between 0 and 1", "use 0.85 for the usual 85/15")
    test = deal(checked.usable, by=by, shares=[1 - fraction, fraction], seed=seed)[0]
    return Split(cohort_sha256=checked.sha256, by=by, seed=seed, folds=(_fold(checked.usable, test),))


def make_folds(checked: CheckedCohort, *, by: By, count: int, seed: int) -> Split:
    """Make cross-validation folds: every usable case is tested once.

    Raises:
        UsageError: fewer than two folds, or fewer groups than folds.
    """
    if count < 2:
        raise UsageError("`folds`", count, "is less than 2", "use 5")
    parts = deal(checked.usable, by=by, shares=[1 / count] * count, seed=seed)
    return Split(
        cohort_sha256=checked.sha256, by=by, seed=seed, folds=tuple(_fold(checked.usable, part) for part in parts)
    )


def nest(checked: CheckedCohort, split: Split, *, count: int) -> Split:
    """Split the training part of each fold into inner folds, so that no choice is made on test cases.

    Raises:
        UsageError: fewer than two inner folds, or fewer groups than inner folds.
    """
    if count < 2:
        raise UsageError("`inner`", count, "is less than 2", "use 4")
    folds = []
    for number, fold in enumerate(split.folds):
        cases = [case for case in checked.usable if case.case in set(fold.train)]
        parts = deal(cases, by=split.by, shares=[1 / count] * count, seed=split.seed + 1 + number)
        folds.append(Fold(train=fold.train, test=fold.test, inner=tuple(_fold(cases, part) for part in parts)))
    return Split(cohort_sha256=split.cohort_sha256, by=split.by, seed=split.seed, folds=tuple(folds))


def _fold(cases: Sequence[CheckedCase], test: set[str]) -> Fold:
    return Fold(
        train=tuple(sorted(case.case for case in cases if case.case not in test)),
        test=tuple(sorted(test)),
    )


def to_dict(split: Split) -> dict[str, object]:
    """Return the split as plain data, ready for JSON."""

    def plain(fold: Fold) -> dict[str, object]:
        tree: dict[str, object] = {"train": list(fold.train), "test": list(fold.test)}
        return tree | ({"inner": [plain(inner) for inner in fold.inner]} if fold.inner else {})

    return {
        "format": _FORMAT,
        "cohort_sha256": split.cohort_sha256,
        "by": split.by,
        "seed": split.seed,
        "folds": [plain(fold) for fold in split.folds],
    }


def from_dict(tree: Any, checked: CheckedCohort, *, name: str) -> Split:
    """Read a split and check it against its cohort.

    Args:
        tree: parsed JSON.
        checked: the cohort that it will be used on.
        name: the file name, for messages.

    Raises:
        BadData: not a split; made for another cohort; names absent cases; or has a case, a subject, or an identical or
            nearly identical image on both sides.
    """
    split = parse(tree, name=name)
    refuse_leaks(split, {case.case: case.subject for case in checked.cases}, name=name)
    images = {case.case: case.image_sha256 for case in checked.cases}
    heads = connected(checked.cases, lambda case: [case.image_sha256 or case.case, case.case, *case.alike])
    for fold in split.every:
        _refuse_shared("image", fold, images, name)
        _refuse_shared("head", fold, heads, name)
    if split.cohort_sha256 != checked.sha256:
        raise BadData(
            "the split", name, "was made for another state of the cohort", "make it again, or restore the cohort"
        )
    return split


def parse(tree: Any, *, name: str) -> Split:
    """Read a split without checking it against a cohort.

    Args:
        tree: parsed JSON.
        name: the file name, for messages.

    Raises:
        BadData: not a split.
    """

    def fold_of(plain: Any) -> Fold:
        sides = {side: tuple(plain[side]) for side in ("train", "test")}
        if not all(isinstance(case, str) for cases in sides.values() for case in cases):
            raise TypeError("a case name is not a string")
        return Fold(**sides, inner=tuple(fold_of(f) for f in plain.get("inner", ())))

    try:
        if tree["format"] != _FORMAT:
            raise KeyError(tree["format"])
        folds = tuple(fold_of(plain) for plain in tree["folds"])
        return Split(cohort_sha256=tree["cohort_sha256"], by=tree["by"], seed=tree["seed"], folds=folds)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadData(
            "the split", name, f"is not what `insula cohort split` wrote ({error})", "make it again"
        ) from None


def refuse_leaks(split: Split, subjects: Mapping[str, str], *, name: str) -> None:
    """Refuse a split that names absent cases, or has a case or a subject on both sides.

    Args:
        split: the split; all folds are checked, including the inner ones.
        subjects: case -> subject, for every case of the cohort.
        name: the split's file name, for messages.

    Raises:
        BadData: a case is not in the cohort, or a case or a subject is on both sides.
    """
    for fold in split.every:
        absent = [case for case in (*fold.train, *fold.test) if case not in subjects]
        if absent:
            rule = f"names {len(absent)} cases that are not in the cohort, e.g. {absent[0]}"
            raise BadData("the split", name, rule, "make it again")
        _refuse_shared("case", fold, {case: case for case in subjects}, name)
        _refuse_shared("subject", fold, subjects, name)


def _refuse_shared(what: str, fold: Fold, keys: Mapping[str, str | int], name: str) -> None:
    trains = {keys[case]: case for case in fold.train}
    for case in fold.test:
        if (other := trains.get(keys[case])) is not None:
            rule = f"has the same {what} on both sides ({other} trains, {case} tests)"
            raise BadData("the split", name, rule, "make it again")
