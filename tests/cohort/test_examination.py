"""A mask that lies on the wrong side of its lesion is noticed, and no other mask is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from insula.cohort.examination import _flipped, hemisphere_of
from insula.prepare.head import Head

_SIZE = 41
_HEAD = Head(centre=(20.0, 20.0, 20.0), flags=(), inside=np.ones((1, 1, 1), bool), every=(slice(None),) * 3)


def _head(darkness: float, *, air: float = 0.0) -> NDArray[np.float32]:
    """A head of 100 above air; its left side has a region that is darker by a share."""
    image = np.full((_SIZE, _SIZE, _SIZE), air, np.float32)
    image[2:39, 5:36, 5:36] = air + 100
    image[_box(left=True)] = air + 100 * (1 - darkness)
    return image


def _box(*, left: bool) -> tuple[slice, slice, slice]:
    return (slice(6, 14) if left else slice(27, 35), slice(15, 25), slice(15, 25))


def _mask(*, left: bool) -> NDArray[np.bool_]:
    voxels = np.zeros((_SIZE, _SIZE, _SIZE), bool)
    voxels[_box(left=left)] = True
    return voxels


def _codes(image: NDArray[np.float32], voxels: NDArray[np.bool_], *, lesion_ml: float = 10.0) -> list[str]:
    return [flag.code for flag in _flipped(image, voxels, _HEAD, lesion_ml)]


@pytest.mark.parametrize("air", [0.0, -500.0, 800.0])
def test_a_mask_opposite_a_dark_region_is_flagged_and_one_over_it_is_not(air: float) -> None:
    assert _codes(_head(0.6, air=air), _mask(left=False)) == ["mask-flipped"]
    assert _codes(_head(0.6, air=air), _mask(left=True)) == []
    assert _codes(_head(0.6, air=air)[::-1], _mask(left=True)) == ["mask-flipped"]
    assert _codes(_head(0.0, air=air), _mask(left=False)) == []


@pytest.mark.parametrize(("darkness", "flagged"), [(0.24, False), (0.26, True)])
def test_the_other_side_has_to_be_a_quarter_darker(darkness: float, flagged: bool) -> None:
    flags = _flipped(_head(darkness), _mask(left=False), _HEAD, 10.0)
    assert bool(flags) is flagged
    assert all(f"darker ({1 - darkness:.0%})" in flag.text and flag.severity == "warning" for flag in flags)


@pytest.mark.parametrize(("lesion_ml", "flagged"), [(1.99, False), (2.0, True)])
def test_a_mask_under_two_millilitres_is_not_judged(lesion_ml: float, flagged: bool) -> None:
    assert bool(_codes(_head(0.6), _mask(left=False), lesion_ml=lesion_ml)) is flagged


@pytest.mark.parametrize(("share", "flagged"), [(0.09, True), (0.11, False)])
def test_a_mask_on_both_sides_is_not_judged(share: float, flagged: bool) -> None:
    """Up to a tenth of the mask may lie on the other side."""
    voxels = _mask(left=False)
    more = round(voxels.sum() * share / (1 - share))
    place = np.argwhere(np.ones((4, 20, 20), bool))[:more] + np.array([15, 8, 8])
    voxels[tuple(place.T)] = True
    assert bool(_codes(_head(0.6), voxels)) is flagged


@pytest.mark.parametrize(("middle", "flagged"), [(16.0, True), (15.5, False)])
def test_a_mask_whose_mirror_image_leaves_the_volume_is_not_judged(middle: float, flagged: bool) -> None:
    """Ten planes of mask, 24 to 33: mirrored at 16, nine of them are in the volume, and at 15.5 eight."""
    image = np.full((_SIZE, _SIZE, _SIZE), 0.0, np.float32)
    image[:34, 5:36, 5:36] = 100.0
    image[:10, 15:25, 15:25] = 40.0
    voxels = np.zeros_like(image, bool)
    voxels[24:34, 15:25, 15:25] = True
    head = Head(centre=(middle, 20.0, 20.0), flags=(), inside=_HEAD.inside, every=_HEAD.every)
    assert bool(_flipped(image, voxels, head, 10.0)) is flagged


@pytest.mark.parametrize(
    ("right", "side"), [(0, "left"), (10, "left"), (11, "both"), (89, "both"), (90, "right"), (100, "right")]
)
def test_a_side_has_nine_tenths_of_the_mask(right: int, side: str) -> None:
    voxels = np.zeros((_SIZE, 10, 10), bool)
    voxels[30].reshape(-1)[:right] = True
    voxels[10].reshape(-1)[: 100 - right] = True
    assert hemisphere_of(voxels, _HEAD) == side


def test_an_empty_mask_has_no_side() -> None:
    assert hemisphere_of(np.zeros((_SIZE, 4, 4), bool), _HEAD) == "none"
