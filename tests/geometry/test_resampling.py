"""Resampling: copies are exact, smooth fields survive, volumes scale, and a slow reference agrees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geometry.orders import turned
from insula.geometry import Grid, resample


def _grid(shape: tuple[int, int, int], *spacing: float, origin: tuple[float, float, float] = (0, 0, 0)) -> Grid:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Grid(shape, affine)


def _blob(grid: Grid, sigma_mm: float = 9.0) -> np.ndarray:
    place = grid.centre_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    centre = grid.centre_mm((np.array(grid.shape) - 1) / 2)
    return np.exp(-((place - centre) ** 2).sum(-1) / (2 * sigma_mm**2)).astype(np.float32)


def _slow(volume: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Trilinear look-up, voxel by voxel, the rim repeated."""
    out = np.zeros(target.shape)
    for index in np.ndindex(target.shape):
        place = np.linalg.solve(source.affine, target.affine @ [*index, 1.0])[:3]
        place = np.clip(place, 0, np.array(source.shape) - 1)
        base = np.minimum(place.astype(int), np.array(source.shape) - 2)
        part = place - base
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(np.array(corner) == 1, part, 1 - part))
            out[index] += weight * volume[tuple(base + corner)]
    return out


def _whole(volume: np.ndarray, source: Grid, target: Grid, order: int, fill: float) -> np.ndarray:
    """Blurs every voxel and looks up every voxel, also where nothing depends on it."""
    step = np.diag(target.affine)[:3] / np.diag(source.affine)[:3]
    start = (target.affine[:3, 3] - source.affine[:3, 3]) / np.diag(source.affine)[:3]
    sigma = np.sqrt(np.clip(step**2 - 1, 0, None)) / 2.3548
    data = ndimage.gaussian_filter(volume, sigma, mode="nearest") if order else volume
    out = ndimage.affine_transform(data, step, start, target.shape, np.float32, order=order, mode="nearest")
    for axis, (size, count) in enumerate(zip(source.shape, target.shape, strict=True)):
        place = start[axis] + step[axis] * np.arange(count)
        np.moveaxis(out, axis, 0)[(place < -0.5) | (place > size - 0.5)] = fill
    return out


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize(
    ("spacing", "origin"),
    [
        ((0.5, 0.25, 1.0), (-4.0, 3.5, 6.0)),  # begins outside, at places that counting from inside hits exactly
        ((0.7, 0.3, 1.1), (-4.1, 3.3, -6.7)),  # and at places that it does not
        ((4.0, 2.0, 3.0), (5.0, 3.0, -7.0)),  # coarser: blurred first
        ((2.3, 0.9, 1.7), (4.0, -8.0, 2.5)),
        ((1.0, 1.0, 0.5), (90.0, 0.0, 0.0)),  # beside it
    ],
)
def test_leaving_out_what_nothing_depends_on_changes_no_bit(
    spacing: tuple[float, ...], origin: tuple[float, float, float], order: int
) -> None:
    source = _grid((21, 26, 23), 1, 1, 1)
    target = _grid((17, 30, 15), *spacing, origin=origin)
    volume = np.random.default_rng(3).normal(size=source.shape).astype(np.float32)
    got = resample(volume, source, target, order=order, fill=7.0)
    assert np.array_equal(got, _whole(volume, source, target, order, 7.0))


def test_the_same_grid_is_a_copy() -> None:
    grid = turned(_grid((5, 6, 7), 1, 2, 3), 17)
    volume = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    assert np.array_equal(resample(volume, grid, grid), volume)


@given(st.tuples(*[st.integers(-8, 8)] * 3))
@settings(max_examples=30, deadline=None)
def test_a_shift_by_whole_voxels_is_exact_and_fills_what_is_outside(shift: tuple[int, int, int]) -> None:
    source = _grid((6, 7, 8), 1.3, 0.7, 2)
    volume = np.arange(336, dtype=np.float32).reshape(6, 7, 8)
    affine = source.affine.copy()
    affine[:3, 3] = source.centre_mm(shift)
    got = resample(volume, source, Grid((6, 7, 8), affine), fill=-1)
    expected = np.full_like(volume, -1)
    for index in np.ndindex(6, 7, 8):
        there = np.array(index) + shift
        if (there >= 0).all() and (there < volume.shape).all():
            expected[index] = volume[tuple(there)]
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("degrees", [0.0, 17.0])
def test_it_agrees_with_a_slow_reference(degrees: float) -> None:
    source = _grid((9, 8, 7), 1, 1, 1)
    target = turned(_grid((6, 6, 6), 0.9, 0.8, 0.7, origin=(1.2, 1.1, 1.0)), degrees / 4)
    volume = np.random.default_rng(1).normal(size=source.shape).astype(np.float32)
    fast = resample(volume, source, target, antialias=False)
    slow = _slow(volume, source, target)
    index = np.moveaxis(np.indices(target.shape), 0, -1)
    place = (target.centre_mm(index) - source.affine[:3, 3]) @ np.linalg.inv(source.affine[:3, :3]).T
    inside = ((place >= -0.5) & (place <= np.array(source.shape) - 0.5)).all(-1)
    assert inside.sum() > 100
    assert np.allclose(fast[inside], slow[inside], atol=1e-5)
    assert (fast[~inside] == 0).all()


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (2, 2, 2), (5, 5, 5), (1, 1, 5), (0.5, 0.5, 1), (3, 0.7, 1.5)])
@pytest.mark.parametrize("degrees", [0.0, 17.0])
def test_there_and_back_keeps_a_smooth_field(spacing: tuple[float, ...], degrees: float) -> None:
    home = _grid((44, 44, 44), 1, 1, 1)
    shape = tuple(int(np.ceil(44 / mm)) for mm in spacing)
    away = turned(_grid(shape, *spacing), degrees) if degrees else _grid(shape, *spacing)
    middle = home.centre_mm([21.5] * 3) - away.centre_mm((np.array(shape) - 1) / 2)
    affine = away.affine.copy()
    affine[:3, 3] += middle
    away = Grid(shape, affine)
    blob = _blob(home)
    back = resample(resample(blob, home, away), away, home)
    core = (slice(12, 32),) * 3
    assert np.abs(back[core] - blob[core]).max() < 0.04 * max(1.0, max(spacing) ** 2 / 4)
    assert back.sum() == pytest.approx(blob.sum(), rel=0.05)


def test_going_coarser_keeps_thin_things() -> None:
    source, target = _grid((40, 40, 40), 1, 1, 1), _grid((8, 8, 8), 5, 5, 5, origin=(2, 2, 2))
    sheet = np.zeros(source.shape, np.float32)
    sheet[:, :, 20] = 1  # one voxel thick, between two target centres
    assert resample(sheet, source, target).sum() * 125 == pytest.approx(sheet.sum(), rel=0.2)
