"""Deals cases to folds that are left out in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["deal"]


def deal(subjects: Sequence[str], folds: int, seed: int) -> list[tuple[int, ...]]:
    """Deal cases to folds of nearly equal numbers of subjects; a subject is in one fold.

    Args:
        subjects: of each case.
        folds: number of folds; at most one for each subject.
        seed: of the order.

    Returns:
        The numbers of the cases that each fold leaves out.
    """
    order = sorted(set(subjects))
    np.random.default_rng(seed).shuffle(order)
    count = max(2, min(folds, len(order)))
    fold_of = {subject: n % count for n, subject in enumerate(order)}
    dealt = [tuple(n for n, subject in enumerate(subjects) if fold_of[subject] == fold) for fold in range(count)]
    return [fold for fold in dealt if fold]
