"""STAPLE is SimpleITK's and finds raters of known quality; a majority is more than half."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from insula.errors import Unavailable
from insula.stats import majority_vote, staple

Voxels = NDArray[np.bool_]
SHAPE = (24, 20, 16)


def _cube(corner: int, side: int = 8) -> Voxels:
    mask = np.zeros(SHAPE, bool)
    mask[corner : corner + side, corner : corner + side, corner : corner + side] = True
    return mask


def _rated(truth: Voxels, sensitivity: float, specificity: float, seed: int) -> Voxels:
    chance = np.random.default_rng(seed).random(truth.shape)
    return np.where(truth, chance < sensitivity, chance > specificity)


NONE = np.zeros(SHAPE, bool)
CASES = {
    "two": [_cube(2), _cube(3)],
    "three": [_cube(2), _cube(3), _cube(4)],
    "four": [_cube(2), _cube(3), _cube(4), _cube(2, 9)],
    "the same": [_cube(2)] * 3,
    "one": [_cube(2)],
    "one of two empty": [_cube(2), NONE],
    "one of three empty": [_cube(2), _cube(3), NONE],
    "two of three empty": [_cube(2), NONE, NONE],
    "disjoint": [_cube(0, 4), _cube(5, 4), _cube(10, 4)],
    "one full": [_cube(2), ~NONE, _cube(3)],
    "noisy": [_rated(_cube(4), se, sp, n) for n, (se, sp) in enumerate([(0.9, 0.99), (0.8, 0.95), (0.6, 0.999)])],
    "many": [_rated(_cube(4), 0.7, 0.9, n) for n in range(12)],
}


@pytest.mark.parametrize("case", CASES)
def test_staple_equals_simpleitk(case: str) -> None:
    masks = CASES[case]
    filter_ = sitk.STAPLEImageFilter()
    filter_.SetForegroundValue(1)
    wanted = sitk.GetArrayFromImage(filter_.Execute([sitk.GetImageFromArray(m.astype(np.uint8)) for m in masks]))
    result = staple(masks)
    assert result.prob == pytest.approx(wanted, abs=1e-6)
    assert (result.mask == (wanted > 0.5 + 1e-6)).all()  # at 0.5 itself SimpleITK's rounding decides
    assert result.sensitivity == pytest.approx(filter_.GetSensitivity(), abs=1e-6)
    assert result.specificity == pytest.approx(filter_.GetSpecificity(), abs=1e-6)


def test_raters_of_known_quality_are_recovered_with_the_truth() -> None:
    truth = np.zeros((60, 60, 60), bool)
    truth[10:40, 15:45, 20:50] = True
    known = [(0.95, 0.99), (0.8, 0.999), (0.9, 0.97), (0.6, 0.995), (0.85, 0.98)]
    masks = [_rated(truth, *rates, seed) for seed, rates in enumerate(known)]
    result = staple(masks)
    assert result.sensitivity == pytest.approx([rates[0] for rates in known], abs=0.01)
    assert result.specificity == pytest.approx([rates[1] for rates in known], abs=0.002)
    wrong = np.count_nonzero(result.mask != truth)
    assert wrong < 0.02 * truth.sum()
    assert wrong < np.count_nonzero(majority_vote(masks) != truth) < min(np.count_nonzero(m != truth) for m in masks)


def test_masks_that_are_all_empty_or_all_full_are_certain() -> None:
    none, full = staple([NONE] * 3), staple([~NONE] * 2)
    assert not none.prob.any() and not none.mask.any()
    assert (none.sensitivity, none.specificity) == ((None,) * 3, (1.0,) * 3)
    assert (full.prob == 1).all() and full.mask.all()
    assert (full.sensitivity, full.specificity) == ((1.0,) * 2, (None,) * 2)


def test_the_order_of_the_raters_and_the_axes_does_not_matter() -> None:
    masks = CASES["noisy"]
    forth, back = staple(masks), staple(masks[::-1])
    assert back.prob == pytest.approx(forth.prob, abs=1e-9)
    assert back.sensitivity[::-1] == pytest.approx(forth.sensitivity, abs=1e-9)
    turned = staple([np.asfortranarray(mask.transpose(2, 0, 1)[::-1]) for mask in masks])
    assert turned.prob == pytest.approx(forth.prob.transpose(2, 0, 1)[::-1], abs=1e-9)


def test_a_majority_is_more_than_half() -> None:
    first, second, third = _cube(2), _cube(3), _cube(4)
    both = (first & second) | (first & third) | (second & third)
    assert (majority_vote([first, second, third]) == both).all()
    assert (majority_vote([first, second]) == (first & second)).all()
    assert not majority_vote([first, first, NONE, NONE]).any()  # a tie
    assert majority_vote([~NONE] * 200 + [NONE] * 199).all()  # more raters than a byte counts
    assert not majority_vote([NONE]).any()


@pytest.mark.parametrize("masks", [[], [NONE, NONE[1:]]], ids=["none", "two shapes"])
@pytest.mark.wrong_types
def test_a_consensus_of_nothing_or_of_different_shapes_is_refused(masks: list[Voxels]) -> None:
    for form in (majority_vote, staple):
        with pytest.raises(ValueError, match="masks of one shape"):
            form(masks)


def test_without_simpleitk_one_line_names_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(Unavailable, match=r"pip install 'insula\[consensus\]', or use `method=majority`"):
        staple(CASES["two"])
    assert majority_vote(CASES["three"]).any()
