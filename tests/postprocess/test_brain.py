"""The brain is one piece without holes, and no lesion lies outside of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from geometry.orders import ORDERS, stored_as
from insula.geometry import Grid
from insula.postprocess import brain_flags, decide, find_brain, flat_contrast, within_brain
from insula.volume import Mask

_GRID = Grid((20, 24, 18), np.diag([2.0, 2.0, 2.0, 1.0]))


def _prob() -> np.ndarray:
    prob = np.full(_GRID.shape, 0.1, np.float32)
    prob[3:13, 3:15, 3:13] = 0.9
    prob[13, 15, 13] = 0.5  # touches it by a corner, and is just probable enough
    prob[6:9, 6:9, 6:9] = 0.2  # a ventricle
    prob[16:19, 20:23, 15:17] = 0.99  # an eye
    return prob


def _slowly(prob: np.ndarray) -> np.ndarray:
    """The same by scipy, as obviously as can be."""
    labels, count = ndimage.label(prob >= 0.5, structure=np.ones((3, 3, 3)))
    if count == 0:
        return np.zeros(prob.shape, bool)
    sizes = [int((labels == n).sum()) for n in range(1, count + 1)]
    return ndimage.binary_fill_holes(labels == 1 + sizes.index(max(sizes)))


def test_the_largest_piece_is_kept_and_its_holes_are_filled() -> None:
    brain = find_brain(_prob(), _GRID)
    expected = np.zeros(_GRID.shape, bool)
    expected[3:13, 3:15, 3:13] = True
    expected[13, 15, 13] = True
    assert np.array_equal(brain.voxels, expected)
    assert brain.grid == _GRID
    assert brain.volume_ml == pytest.approx((10 * 12 * 10 + 1) * 0.008)


def test_what_leads_outside_through_faces_is_no_hole() -> None:
    prob = _prob()
    prob[6:9, 6:9, :6] = 0.0  # a shaft from the cavity to the rim
    assert not find_brain(prob, _GRID).voxels[7, 7, 7]
    prob = _prob()
    prob[9, 9, 9:] = 0.0  # touches the cavity by a corner only
    assert find_brain(prob, _GRID).voxels[7, 7, 7]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 1.0])
def test_it_is_what_the_slow_way_gives(share: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        prob = (0.5 * rng.random(_GRID.shape) + 0.5 * (rng.random(_GRID.shape) < share)).astype(np.float32)
        assert np.array_equal(find_brain(prob, _GRID).voxels, _slowly(prob))


def test_no_brain_is_an_answer() -> None:
    brain = find_brain(np.full(_GRID.shape, 0.499, np.float32), _GRID)
    assert not brain.voxels.any()
    assert not within_brain(np.ones(_GRID.shape, np.float32), brain).any()
    assert not decide(np.ones(_GRID.shape, np.float32), _GRID, threshold=0.5, brain=brain).voxels.any()


def test_it_does_not_depend_on_the_order_of_axes() -> None:
    """Even where two pieces are of one size."""
    prob = np.zeros(_GRID.shape, np.float32)
    prob[2:5, 2:5, 2:5] = prob[12:15, 10:13, 9:12] = 0.8
    expected = find_brain(prob, _GRID).voxels
    assert expected.sum() == 27
    for axes in ORDERS:
        stored, grid = stored_as(prob, _GRID, axes)
        assert np.array_equal(find_brain(stored, grid).voxels, axes.apply(expected))


def test_outside_the_brain_there_is_neither_lesion_nor_any_probability_of_one() -> None:
    brain, lesion = find_brain(_prob(), _GRID), np.random.default_rng(0).random(_GRID.shape, dtype=np.float32)
    before = lesion.copy()
    inside = within_brain(lesion, brain)
    assert inside.dtype == np.float32
    assert not inside[~brain.voxels].any()
    assert np.array_equal(inside[brain.voxels], lesion[brain.voxels])
    assert np.array_equal(lesion, before)
    assert within_brain(lesion, None) is lesion
    mask = decide(lesion, _GRID, threshold=0.3, brain=brain)
    assert mask.voxels.any()
    assert not (mask.voxels & ~brain.voxels).any()
    assert np.array_equal(mask.voxels, (lesion >= 0.3) & brain.voxels)


def test_only_the_part_inside_counts_for_the_smallest_lesion() -> None:
    brain, lesion = find_brain(_prob(), _GRID), np.zeros(_GRID.shape, np.float32)
    lesion[11:16, 5:7, 5:7] = 0.9  # 20 voxels, 8 of them inside
    assert decide(lesion, _GRID, threshold=0.5, min_lesion_ml=0.1).voxels.sum() == 20
    assert decide(lesion, _GRID, threshold=0.5, min_lesion_ml=0.06, brain=brain).voxels.sum() == 8
    assert not decide(lesion, _GRID, threshold=0.5, min_lesion_ml=0.1, brain=brain).voxels.any()


@pytest.mark.parametrize(
    ("voxels", "odd"), [(0, True), (599, True), (601, False), (1400, False), (2199, False), (2201, True)]
)
def test_a_brain_of_an_implausible_size_is_flagged(voxels: int, odd: bool) -> None:
    grid = Grid((20, 20, 20), np.diag([10.0, 10.0, 10.0, 1.0]))  # voxels of a millilitre
    flags = brain_flags(Mask(np.arange(8000).reshape(20, 20, 20) < voxels, grid))
    assert [(flag.code, flag.severity) for flag in flags] == [("brain-volume-odd", "warning")] * odd
    assert all(f"measures {voxels} ml, which is not between 600 and 2200 ml" in flag.text for flag in flags)
    assert brain_flags(None) == ()


def _head(grey: float) -> tuple[np.ndarray, np.ndarray]:
    """An image and the probability of brain: air at -1, CSF, grey matter, white matter at 2, and a bright scalp."""
    image = np.full((30, 30, 30), -1.0)
    image[2:-2], image[4:-4], image[4:7] = 6.0, 2.0, -0.4  # in relation to white matter, CSF has 0.2
    image[7:16] = 3 * grey - 1
    brain = np.zeros(image.shape)
    brain[4:-4] = 0.9
    return image, brain


@pytest.mark.parametrize(("grey", "flat"), [(0.5, False), (0.6, False), (0.74, False), (0.78, True), (0.87, True)])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (300.0, -50.0)])
def test_grey_matter_nearly_as_bright_as_white_is_flagged(grey: float, flat: bool, scale: float, offset: float) -> None:
    image, brain = _head(grey)
    flags = flat_contrast(scale * image + offset, brain)
    assert [(flag.code, flag.severity) for flag in flags] == [("grey-like-white", "warning")] * flat
    assert all(f"({grey:.2f}; at most 0.76 is usual)" in flag.text for flag in flags)


def test_the_contrast_of_no_brain_of_little_brain_or_of_nothing_else_is_unknown() -> None:
    image, brain = _head(0.87)
    assert flat_contrast(image, np.zeros_like(brain)) == ()
    assert flat_contrast(image, np.ones_like(brain)) == ()
    assert flat_contrast(image, brain * (np.arange(27000).reshape(brain.shape) < 4500)) == ()
    assert flat_contrast(-image, brain) == ()  # air is the brightest
