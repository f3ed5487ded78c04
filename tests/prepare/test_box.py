"""Preparing: the head found and centred, intensities without a unit, the way home exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from geometry.orders import ORDERS, stored_as
from insula.config import PrepareConfig
from insula.errors import BadData
from insula.geometry import AxisMap, Grid, ras_map
from insula.prepare import find_head, measure, normalise, prepare
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
from insula.volume import Mask, Scan

_BOX = PrepareConfig(box=(96, 112, 88), spacing_mm=2.0)
_HEAD_MM = np.array([0.0, -18.0, 10.0])
_BRAIN_MM = np.array([69.0, 86.0, 76.0])  # the phantom's semi-axes


def _offset_mm(scan: Scan, config: PrepareConfig = _BOX) -> np.ndarray:
    """From the middle of the box to the middle of the phantom's brain."""
    prepared = prepare(scan, config)
    return prepared.grid.centre_mm((np.array(config.box) - 1) / 2) - _HEAD_MM


@pytest.mark.parametrize("skull", [True, False])
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (3.0, 3.0, 3.0), (2.0, 2.0, 5.0)])
def test_the_whole_brain_is_in_the_box(skull: bool, spacing: tuple[float, float, float]) -> None:
    offset = _offset_mm(phantom_case(phantom_grid(spacing_mm=spacing), skull=skull).scan)
    assert (np.abs(offset) + _BRAIN_MM <= np.array(_BOX.box) * _BOX.spacing_mm / 2).all()


def test_a_large_field_of_view_and_a_neck_do_not_move_it() -> None:
    grid = phantom_grid(spacing_mm=(2.0, 2.0, 2.0), shape=(150, 170, 180))
    scan = phantom_case(grid).scan
    image = scan.image.copy()
    place = [(np.arange(n) - (n - 1) / 2) * 2 + c for n, c in zip(grid.shape, _HEAD_MM, strict=True)]
    neck = (np.hypot(place[0][:, None], place[1][None] + 30) < 55)[:, :, None] & (place[2] < -30)[None, None]
    image[neck & (image < 100)] = 700
    offset = _offset_mm(Scan(image, grid))
    assert (np.abs(offset) + _BRAIN_MM <= np.array(_BOX.box) * _BOX.spacing_mm / 2).all()


@pytest.mark.parametrize("orders", [ORDERS[1::9], pytest.param(ORDERS, marks=pytest.mark.long)], ids=["some", "all"])
def test_48_orders_give_the_same_tensor_bit_for_bit(orders: Any) -> None:
    case = phantom_case(phantom_grid(spacing_mm=(3.0, 2.9, 3.2)))
    expected = prepare(case.scan, _BOX)
    for axes in orders:
        image, grid = stored_as(case.scan.image, case.scan.grid, axes)
        prepared = prepare(Scan(image, grid), _BOX)
        assert torch.equal(prepared.image, expected.image)
        assert prepared.bring_home(np.ones(_BOX.box, np.float32)).shape == grid.shape


@pytest.mark.parametrize("axes", ORDERS[::7], ids=str)
def test_home_is_the_scans_own_voxels(axes: object) -> None:
    """A map drawn in the box, at the scan's own spacing, lands exactly on the voxels it was drawn over."""
    grid = phantom_grid(spacing_mm=(2.0, 2.0, 2.0))
    image, grid = stored_as(phantom_case(grid, skull=False).scan.image, grid, axes)  # type: ignore[arg-type]
    prepared = prepare(Scan(image, grid), _BOX)
    raw = prepared.image[0, 0].numpy()
    scale = measure(torch.from_numpy(ras_map(grid).apply(image).copy()), _BOX)
    home = prepared.bring_home((raw * scale.width + scale.middle > 125).astype(np.float32))
    assert np.array_equal(home, image > 125)


@pytest.mark.parametrize(("factor", "shift"), [(1e-9, 0.0), (1e9, 0.0), (1.0, -5000.0), (3.0, 40.0)])
def test_the_scanners_unit_does_not_matter(factor: float, shift: float) -> None:
    scan = phantom_case(phantom_grid(spacing_mm=(3, 3, 3))).scan
    same = prepare(Scan(scan.image * np.float32(factor) + np.float32(shift), scan.grid), _BOX)
    assert torch.allclose(same.image, prepare(scan, _BOX).image, atol=2e-2)


def test_foreground_has_middle_0_and_width_1() -> None:
    image = torch.zeros(50, 50, 50)
    image[10:40, 10:40, 10:40] = torch.rand(30, 30, 30) * 100 + 100
    scale = measure(image, PrepareConfig())
    assert scale.middle == pytest.approx(150, abs=2)
    assert scale.width == pytest.approx(80, abs=2)
    assert scale.background == 0
    assert float(normalise(image, scale, PrepareConfig(clip=1.0)).min()) == -1


def test_a_brain_alone_is_found_whatever_lies_around() -> None:
    image = np.zeros((60, 60, 60), np.float32)
    image[20:50, 15:45, 10:45] = 100
    image[2:4, 2:4, 2:4] = 500  # a bright speck is not the head
    head = find_head(image, (4.0, 4.0, 4.0))
    assert np.allclose(head.centre, (34.5, 29.5, 27), atol=1.5)


@pytest.mark.parametrize(("side", "cut"), [("left", np.s_[50:]), ("right", np.s_[:46])])
def test_a_cut_head_is_flagged_with_the_side(side: str, cut: slice) -> None:
    grid = phantom_grid(spacing_mm=(2, 2, 2))
    scan = phantom_case(grid).scan
    image = scan.image[cut]
    flags = prepare(Scan(image, Grid(image.shape, grid.affine)), _BOX).flags
    assert [flag.code for flag in flags] == ["field-of-view-cut"]
    assert side in flags[0].text


def test_a_thing_too_small_is_refused_with_its_size() -> None:
    image = np.zeros((60, 60, 60), np.float32)
    image[20:50, 20:50, 20:50] = 100
    with pytest.raises(BadData, match=r"0\.0. l"):
        find_head(image, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("axes", [ORDERS[0], ORDERS[-1]])
def test_a_mask_goes_into_the_box_and_home_again(axes: AxisMap) -> None:
    case = phantom_case(phantom_grid(spacing_mm=(2.0, 2.0, 2.0)))
    image, grid = stored_as(case.scan.image, case.scan.grid, axes)
    voxels, _ = stored_as(case.truth.voxels, case.scan.grid, axes)
    prepared = prepare(Scan(image, grid), _BOX)
    inside = prepared.take_in(Mask(voxels, grid))
    assert inside.shape == _BOX.box
    assert ((prepared.bring_home(inside.astype(np.float32)) > 0.5) == voxels).all()
