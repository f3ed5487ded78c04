"""The head is what is bright, large and connected; its centre is that of its upper 130 mm."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from insula.errors import BadData
from insula.prepare import find_head

_EVERY_4_MM = (4.0, 4.0, 4.0)


def _column(shape: tuple[int, int, int], top: int) -> NDArray[np.float32]:
    """A column from the lowest slice to `top`, away from the sides."""
    image = np.zeros(shape, np.float32)
    image[10:-10, 10:-10, : top + 1] = 100.0
    return image


@pytest.mark.parametrize(
    ("spacing_mm", "slices"),
    [(130 / 32.49, 32), (130 / 32.51, 33), (130 / 26.49, 26), (130 / 26.51, 27)],
)
def test_the_centre_is_that_of_the_upper_130_mm(spacing_mm: float, slices: int) -> None:
    """The reach is rounded to whole slices; at these spacings 129.9 or 130.1 mm would be another number of them."""
    head = find_head(_column((50, 50, 70), top=60), (spacing_mm, spacing_mm, spacing_mm))
    assert head.every == (slice(0, None, 1),) * 3
    assert head.centre == pytest.approx((24.5, 24.5, 60 - slices / 2), abs=0.1)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_the_reach_is_in_millimetres_whatever_the_spacing(step: int) -> None:
    """Thinner slices are thinned out to 4 mm."""
    mm = 4.0 / step
    shape = (45 * step, 45 * step, 60 * step)
    head = find_head(np.repeat(_column((45, 45, 60 * step), 50 * step), step, 0).repeat(step, 1), (mm, mm, mm))
    assert head.inside.shape == tuple(size // step for size in shape)
    top_mm = 50.5 * 4
    assert head.centre[2] * mm == pytest.approx(top_mm - 65, abs=4)


def test_a_short_head_is_centred_as_a_whole() -> None:
    image = np.zeros((50, 50, 60), np.float32)
    image[10:40, 12:38, 20:50] = 100.0
    assert find_head(image, _EVERY_4_MM).centre == pytest.approx((24.5, 24.5, 34.5))


def test_a_thin_tip_is_not_the_crown() -> None:
    """The crown is the highest slice with over 2 % of the largest one's area: a pin in the scalp is not."""
    image = _column((60, 60, 70), top=45)
    expected = find_head(image, _EVERY_4_MM).centre
    image[28:33, 28:33, 46:60] = 100.0  # 25 of 1,600 voxels: 1.6 %
    assert find_head(image, _EVERY_4_MM).centre == pytest.approx(expected, abs=0.2)
    image[27:33, 27:33, 46:60] = 100.0  # 36: 2.25 %
    assert find_head(image, _EVERY_4_MM).centre[2] > expected[2] + 3


@pytest.mark.parametrize(("share", "inside"), [(0.14, False), (0.16, True)])
def test_a_voxel_is_bright_from_fifteen_per_cent_of_the_range(share: float, inside: bool) -> None:
    image = np.zeros((50, 50, 50), np.float32)
    image[5:45, 5:45, 20:35] = 100.0
    image[5:45, 5:45, 5:20] = 100.0 * share
    head = find_head(image, _EVERY_4_MM).inside
    assert bool(head[25, 25, 30])
    assert bool(head[25, 25, 10]) is inside


def test_the_range_leaves_out_a_hundredth_at_either_end() -> None:
    image = np.full((50, 50, 50), 10.0, np.float32)
    image[10:40, 10:40, 10:40] = 26.0  # 16 % of the way from air to the brightest tissue
    image[18:32, 18:32, 18:32] = 110.0
    expected = find_head(image, _EVERY_4_MM).centre
    bright, dark = image.copy(), image.copy()
    bright.reshape(-1)[: image.size // 120] = 1000.0
    dark.reshape(-1)[: image.size // 120] = -1000.0
    for changed in (bright, dark):
        assert find_head(changed, _EVERY_4_MM).centre == pytest.approx(expected)


def _cube(side: int) -> tuple[NDArray[np.float32], int]:
    """A bright cube, and its voxels without the edges, which an opening takes away."""
    image = np.zeros((50, 50, 50), np.float32)
    image[10 : 10 + side, 10 : 10 + side, 10 : 10 + side] = 100.0
    return image, side**3 - 12 * (side - 2) - 8


@pytest.mark.parametrize(("litres", "is_head"), [(0.396, False), (0.404, True)])
def test_a_head_is_at_least_four_tenths_of_a_litre(litres: float, is_head: bool) -> None:
    image, voxels = _cube(19)
    mm = float((litres * 1e6 / voxels) ** (1 / 3))
    if is_head:
        assert find_head(image, (mm, mm, mm)).inside.sum() == voxels
    else:
        with pytest.raises(BadData, match=r"0\.40 l is smaller than a brain \(0\.4 l\)"):
            find_head(image, (mm, mm, mm))


def test_a_head_with_a_dark_inside_is_filled() -> None:
    image, voxels = _cube(30)
    image[14:36, 14:36, 14:36] = 0.0
    assert find_head(image, _EVERY_4_MM).inside.sum() == voxels


def test_a_volume_without_contrast_shows_no_head() -> None:
    with pytest.raises(BadData, match="with intensities from 7 to 7 shows no head"):
        find_head(np.full((30, 30, 30), 7.0, np.float32), _EVERY_4_MM)


def test_inverted_intensities_are_flagged_and_turned() -> None:
    image = _column((50, 50, 60), top=45)
    plain, inverted = find_head(image, _EVERY_4_MM), find_head(100 - image, _EVERY_4_MM)
    assert [flag.code for flag in inverted.flags] == ["contrast-inverted"]
    assert plain.flags == ()
    assert inverted.centre == plain.centre


@pytest.mark.parametrize("side", ["left", "right", "back", "front", "top"])
@pytest.mark.parametrize(("share", "cut"), [(0.2, False), (0.3, True)])
def test_a_side_is_cut_where_a_quarter_of_the_head_reaches_it(side: str, share: float, cut: bool) -> None:
    """A block that reaches one side of the volume with a share of its cross-section."""
    image = np.zeros((50, 50, 50), np.float32)
    image[8:42, 8:42, 8:42] = 100.0
    axis, end = {"left": (0, 0), "right": (0, 1), "back": (1, 0), "front": (1, 1), "top": (2, 1)}[side]
    width = round(34 * share)
    place = [slice(8, 42)] * 3
    place[axis] = slice(42, 50) if end else slice(0, 8)
    place[(axis + 1) % 3 if axis != 1 else 0] = slice(8, 8 + width)
    image[tuple(place)] = 100.0
    codes = [(flag.code, flag.text) for flag in find_head(image, _EVERY_4_MM).flags]
    assert [code for code, _ in codes] == ["field-of-view-cut"] * cut
    assert all(f"at the {side};" in text for _, text in codes)
