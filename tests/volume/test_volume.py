"""The currency refuses what does not fit together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from insula.errors import BadData
from insula.geometry import Grid
from insula.volume import Case, Mask, Scan

_GRID = Grid((3, 4, 5), np.diag([10.0, 10.0, 10.0, 1.0]))


@pytest.mark.wrong_types
def test_a_scan_is_float32_and_read_only() -> None:
    scan = Scan(np.ones((3, 4, 5), np.int16), _GRID)
    assert scan.image.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        scan.image[0, 0, 0] = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        scan.name = "other"  # type: ignore[misc]


@pytest.mark.wrong_types
def test_a_scan_must_lie_on_its_grid_and_be_finite() -> None:
    with pytest.raises(BadData, match=r"\(3, 4, 6\).*\(3, 4, 5\)"):
        Scan(np.ones((3, 4, 6)), _GRID)
    image = np.ones((3, 4, 5))
    image[0, 0, :2] = np.nan
    with pytest.raises(BadData, match="2 NaN or infinite"):
        Scan(image, _GRID)


@pytest.mark.wrong_types
def test_a_mask_is_boolean_and_counts_its_volume() -> None:
    voxels = np.zeros((3, 4, 5), bool)
    assert Mask(voxels, _GRID).volume_ml == 0
    voxels[0, 0, :3] = True
    assert Mask(voxels, _GRID).volume_ml == pytest.approx(3.0)  # 10 mm cubes are 1 ml
    with pytest.raises(BadData, match=r"uint8.*not boolean"):
        Mask(voxels.astype(np.uint8), _GRID)


@pytest.mark.wrong_types
def test_a_case_needs_one_grid() -> None:
    scan = Scan(np.ones((3, 4, 5)), _GRID)
    moved = _GRID.affine.copy()
    moved[0, 3] += 1.0
    with pytest.raises(BadData, match="does not lie on its scan's grid"):
        Case(scan=scan, truth=Mask(np.zeros((3, 4, 5), bool), Grid((3, 4, 5), moved)), subject="a")
