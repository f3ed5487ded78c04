"""Lesion volume on the left and on the right, in every orientation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from insula.geometry import Grid
from insula.postprocess import side_volumes_ml
from insula.volume import Mask

_GRID = Grid((12, 14, 10), np.diag([2.0, 1.0, 3.0, 1.0]))  # RAS
_SIGNS = list(itertools.product((1, -1), repeat=3))


def _masks(grid: Grid = _GRID) -> tuple[np.ndarray, np.ndarray]:
    brain = np.zeros(grid.shape, bool)
    brain[1:9, 2:12, 2:8] = True  # its middle lies between 4 and 5
    lesion = np.zeros(grid.shape, bool)
    lesion[2:4, 5:7, 4:6] = True  # eight voxels on the left
    lesion[7, 5:7, 4:6] = True  # four on the right
    return lesion, brain


def _turned(voxels: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...]) -> Mask:
    """The same mask with its voxel axes in another order, some of them reversed."""
    matrix = _GRID.affine.copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            voxels = np.flip(voxels, axis)
            matrix[:3, 3] += matrix[:3, axis] * (_GRID.shape[axis] - 1)
            matrix[:3, axis] *= -1
    matrix[:3, :3] = matrix[:3, list(order)]
    turned = np.ascontiguousarray(voxels.transpose(order))
    return Mask(turned, Grid(turned.shape, matrix))


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("signs", _SIGNS)
def test_sides_are_the_same_in_all_48_orientations(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    lesion, brain = (_turned(voxels, order, signs) for voxels in _masks())
    assert side_volumes_ml(lesion, brain) == pytest.approx((8 * 0.006, 4 * 0.006))


def test_the_slice_in_the_middle_is_divided() -> None:
    lesion, brain = _masks()
    brain[9] = brain[8]  # the middle is slice 5 now
    lesion[:] = False
    lesion[5, 5, 4] = True
    assert side_volumes_ml(Mask(lesion, _GRID), Mask(brain, _GRID)) == pytest.approx((0.003, 0.003))


def test_without_a_brain_there_are_no_sides() -> None:
    lesion, brain = _masks()
    assert side_volumes_ml(Mask(lesion, _GRID), Mask(np.zeros_like(brain), _GRID)) is None
