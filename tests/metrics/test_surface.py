"""Surfaces: laws, hand-computed phantoms, and panoptica."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from panoptica.metrics import Metric

from insula.evaluate import score_masks
from insula.geometry import Grid
from insula.metrics import surface_distances
from insula.volume import Mask
from metrics.grids import GRIDS

_SHAPE = (20, 22, 18)


def _box(low: tuple[int, int, int], high: tuple[int, int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(_SHAPE, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def test_two_voxels_are_as_far_apart_as_they_are() -> None:
    first, second = _box((3, 3, 3), (4, 4, 4)), _box((6, 7, 3), (7, 8, 4))
    distances = surface_distances(first, second, np.diag([1.0, 1.0, 2.0]))
    assert distances.hd95 == distances.assd == pytest.approx(5, abs=1e-12)
    assert distances.surface_dice(4.9) == 0
    assert distances.surface_dice(5) == 1


def test_a_shifted_plate_is_its_shift_away() -> None:
    """A plate one voxel thin, moved by 3 voxels of 1.5 mm: every border voxel is 4.5 mm away."""
    distances = surface_distances(_box((2, 2, 4), (10, 10, 5)), _box((2, 2, 7), (10, 10, 8)), np.diag([1.0, 1.0, 1.5]))
    assert distances.hd95 == distances.assd == pytest.approx(4.5, abs=1e-12)


def test_distance_scales_with_spacing_and_does_not_care_who_is_first() -> None:
    first, second = _box((2, 3, 4), (9, 9, 9)), _box((4, 4, 4), (12, 10, 11))
    near, far = surface_distances(first, second, np.eye(3)), surface_distances(first, second, 2.5 * np.eye(3))
    assert far.hd95 == pytest.approx(2.5 * near.hd95)  # type: ignore[operator]
    assert far.assd == pytest.approx(2.5 * near.assd)  # type: ignore[operator]
    again = surface_distances(second, first, np.eye(3))
    assert (again.hd95, again.assd) == pytest.approx((near.hd95, near.assd))


def test_empty_masks() -> None:
    none, some = np.zeros(_SHAPE, bool), _box((2, 2, 2), (5, 5, 5))
    both = surface_distances(none, none, np.eye(3))
    assert (both.hd95, both.assd, both.surface_dice(1)) == (0, 0, 1)
    for first, second in ((none, some), (some, none)):
        distances = surface_distances(first, second, np.eye(3))
        assert (distances.hd95, distances.assd, distances.surface_dice(1)) == (None, None, 0)


def test_equals_panoptica_on_random_masks() -> None:
    rng = np.random.default_rng(3)
    for _ in range(25):
        masks = []
        for _ in range(2):
            mask = np.zeros(_SHAPE, bool)
            for _ in range(3):
                low, size = rng.integers(0, 12, 3), rng.integers(1, 8, 3)
                mask |= _box(tuple(low), tuple(low + size))  # type: ignore[arg-type]
            masks.append(mask)
        spacing = tuple(float(mm) for mm in rng.uniform(0.5, 3, 3))
        distances = surface_distances(masks[0], masks[1], np.diag(spacing))
        hd95 = Metric.HD95(masks[0].astype(np.uint8), masks[1].astype(np.uint8), voxelspacing=spacing)
        assd = Metric.ASSD(masks[0].astype(np.uint8), masks[1].astype(np.uint8), voxelspacing=spacing)
        assert distances.hd95 == pytest.approx(hd95, abs=1e-9)
        assert distances.assd == pytest.approx(assd, abs=1e-9)
        # panoptica averages the two borders' shares; the surface Dice here pools them, so the shares are compared
        shares = [float((side <= 2.0).mean()) for side in (distances.from_truth, distances.from_predicted)]
        nsd = Metric.NSD(masks[0].astype(np.uint8), masks[1].astype(np.uint8), voxelspacing=spacing, threshold=2.0)
        assert np.mean(shares) == pytest.approx(nsd, abs=1e-9)
        sizes = [len(distances.from_truth), len(distances.from_predicted)]
        assert distances.surface_dice(2.0) == pytest.approx(np.average(shares, weights=sizes), abs=1e-9)


@pytest.mark.parametrize("kind", GRIDS)
def test_distances_are_those_between_points_in_the_patient(kind: str) -> None:
    """Brute force: every border voxel of one against every one of the other, in RAS+ millimetres."""
    axes_mm, rng = GRIDS[kind], np.random.default_rng(4)
    for _ in range(6):
        masks = []
        for _ in range(2):
            low, size = rng.integers(0, 10, 3), rng.integers(2, 8, 3)
            masks.append(_box(tuple(low), tuple(low + size)))  # type: ignore[arg-type]
        distances = surface_distances(masks[0], masks[1], axes_mm)
        points = [np.argwhere(_border(mask)) @ axes_mm.T for mask in masks]
        apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
        np.testing.assert_allclose(distances.from_truth, apart.min(1), atol=1e-5)
        np.testing.assert_allclose(distances.from_predicted, apart.min(0), atol=1e-5)
        affine = np.eye(4)
        affine[:3, :3] = axes_mm
        grid = Grid(_SHAPE, affine)
        score = score_masks(Mask(masks[0], grid), Mask(masks[1], grid), metrics=("hd95_mm", "assd_mm"))
        assert score.metrics["hd95_mm"] == pytest.approx(np.percentile([*apart.min(1), *apart.min(0)], 95), abs=1e-5)
        assert score.metrics["assd_mm"] == pytest.approx((apart.min(1).mean() + apart.min(0).mean()) / 2, abs=1e-5)


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner, padded = mask.copy(), np.pad(mask, 1)
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return mask & ~inner
