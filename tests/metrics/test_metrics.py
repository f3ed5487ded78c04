"""Dice."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from insula.metrics import dice_score

_MASKS = st.lists(st.booleans(), min_size=8, max_size=8).map(lambda bits: np.array(bits).reshape(2, 2, 2))


@given(_MASKS, _MASKS)
def test_dice_is_symmetric_bounded_and_the_formula_of_sets(a: np.ndarray, b: np.ndarray) -> None:
    value = dice_score(a, b)
    assert value == dice_score(b, a)
    assert 0 <= value <= 1
    there, here = {*map(tuple, np.argwhere(a))}, {*map(tuple, np.argwhere(b))}
    assert value == (2 * len(there & here) / (len(there) + len(here)) if there or here else 1.0)


def test_two_empty_masks_agree_and_one_does_not() -> None:
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert dice_score(empty, empty) == 1
    assert dice_score(empty, full) == 0
