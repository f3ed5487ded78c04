"""The corticospinal tract degenerates on the infarct's side, from the corona radiata down to the pyramid."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from insula.simulate.tract import degenerating_tract

_TO_ATLAS = np.array([[2.0, 0, 0, -90], [0, 2.0, 0, -126], [0, 0, 2.0, -72], [0, 0, 0, 1]])


def _tract(*lesion_mm: float) -> list[tuple[np.ndarray, tuple[float, ...]]]:
    """The middles [mm] and radii of the ellipsoids for an infarct at this place."""
    i, j, k = (np.linalg.inv(_TO_ATLAS) @ [*lesion_mm, 1.0])[:3]
    blobs = degenerating_tract(np.random.default_rng(0), (i, j, k), _TO_ATLAS)
    assert len({blob.factor for blob in blobs}) <= 1
    assert all(0.85 <= blob.factor <= 0.95 and not blob.grey and blob.white for blob in blobs)
    return [((_TO_ATLAS @ [*blob.centre, 1.0])[:3], blob.radii_mm) for blob in blobs]


@pytest.mark.parametrize("side", [-1, 1])
def test_it_runs_from_the_corona_radiata_to_the_pyramid_on_the_infarcts_side(side: int) -> None:
    middles = np.array([middle for middle, _ in _tract(side * 30.0, -10.0, 20.0)])
    expected = [(25.5, -18, 30), (23, -15.5, 12), (17.5, -16, -3), (11, -19.5, -17), (6.5, -27, -35)]
    assert np.allclose(middles, np.array(expected) * [side, 1, 1])
    assert (np.diff(middles[:, 2]) < 0).all()


def test_its_ellipsoids_overlap() -> None:
    """Each reaches beyond the middle of the gap to the next."""
    parts = _tract(30.0, -10.0, 20.0)
    for (middle, radii), (after, radii_after) in pairwise(parts):
        assert np.linalg.norm(middle - after) / 2 < radii[2] + radii_after[2]
        assert radii[:2] == (3.0, 3.0)


@pytest.mark.parametrize(
    ("lesion_mm", "near"),
    [
        ((16, 0, 20), True),
        ((14, 0, 20), False),
        ((44, 0, 20), True),
        ((46, 0, 20), False),
        ((30, -44, 20), True),
        ((30, -46, 20), False),
        ((30, 14, 20), True),
        ((30, 16, 20), False),
        ((30, 0, -9), True),
        ((30, 0, -11), False),
        ((30, 0, 59.9), True),
        ((30, 0, 60.1), False),
    ],
)
def test_an_infarct_far_from_the_tract_leaves_it_alone(lesion_mm: tuple[float, ...], near: bool) -> None:
    for side in (-1, 1):
        assert bool(_tract(side * lesion_mm[0], *lesion_mm[1:])) is near
