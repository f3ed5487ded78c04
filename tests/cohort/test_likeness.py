"""The same head is found whatever it was saved as, and another head is not."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from insula.cohort.likeness import ALIKE, find_alike, sign
from insula.errors import BadData
from insula.geometry import Grid, resample
from insula.simulate.phantom import phantom_case, phantom_grid
from insula.volume import Scan

_GRID = phantom_grid(spacing_mm=(2.0, 2.0, 2.0))


@cache
def _head(person: int) -> NDArray[np.float32]:
    """A phantom with folds of its own."""
    image = phantom_case(_GRID, (), noise=0.0).scan.image
    folds = ndimage.gaussian_filter(np.random.default_rng(person).normal(size=image.shape), 2.0)
    image = image * (1 + 0.25 * folds / folds.std()).clip(0.2, 2).astype(np.float32)
    image.flags.writeable = False
    return image


def _moved(image: NDArray[np.float32]) -> Scan:
    return Scan(ndimage.shift(image, (2.3, -1.4, 2.6), order=1), _GRID)


def _other_voxels(image: NDArray[np.float32]) -> Scan:
    grid = phantom_grid(spacing_mm=(1.5, 2.5, 3.0))
    return Scan(resample(image, _GRID, grid), grid)


def _other_axes(image: NDArray[np.float32]) -> Scan:
    affine = _GRID.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (image.shape[0] - 1)
    affine[:3, 0] *= -1
    return Scan(image[::-1].transpose(2, 0, 1), Grid((image.shape[2], *image.shape[:2]), affine[:, [2, 0, 1, 3]]))


_COPIES = {
    "scale": lambda image: Scan(np.round(image / image.max() * 255) * 3.7 + 100, _GRID),
    "gamma": lambda image: Scan(image**1.3, _GRID),
    "noise": lambda image: Scan(image + np.random.default_rng(9).normal(0, 50, image.shape).astype(np.float32), _GRID),
    "bias field": lambda image: Scan(image * np.linspace(0.7, 1.3, image.shape[1], dtype=np.float32)[:, None], _GRID),
    "mirrored": lambda image: Scan(image[::-1], _GRID),
    "moved": _moved,
    "other voxels": _other_voxels,
    "other axes": _other_axes,
}


@pytest.mark.parametrize("kind", _COPIES)
def test_a_copy_is_like_its_own_head_and_like_no_other(kind: str) -> None:
    signatures = [*(sign(Scan(_head(person), _GRID)) for person in range(4)), sign(_COPIES[kind](_head(2)))]
    ((a, b, correlation),) = find_alike(signatures)
    assert (a, b) == (2, 4)
    assert correlation >= ALIKE


def test_different_heads_are_clearly_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insula.cohort.likeness.ALIKE", -1.0)
    monkeypatch.setattr("insula.cohort.likeness._SHORTLIST", -1.0)
    alike = find_alike([sign(Scan(_head(person), _GRID)) for person in range(4)])
    assert [(a, b) for a, b, _ in alike] == [*combinations(range(4), 2)]
    assert max(correlation for *_, correlation in alike) < 0.5


def test_images_without_a_head_have_no_signature_and_are_like_none() -> None:
    with pytest.raises(BadData):
        sign(Scan(np.zeros((20, 20, 20), np.float32), Grid((20, 20, 20), np.eye(4))))
    signature = sign(Scan(_head(0), _GRID))
    assert find_alike([b"", signature, b"", signature]) == [(1, 3, pytest.approx(1.0))]
    assert find_alike([]) == find_alike([b"", signature]) == []


def test_what_decides_is_what_was_measured() -> None:
    """A signature changes meaning with these; the numbers in `ALIKE`'s docstring would have to be measured anew."""
    from insula.cohort import likeness

    assert (likeness.ALIKE, likeness._SHORTLIST, likeness._STEP_MM, likeness._SHAPE) == (0.70, 0.50, 3.0, (36, 44, 28))
    assert (likeness._AIR, likeness._FINE, likeness._COARSE, likeness._BAND_MM) == (0.1, 0.7, 1.5, (0.01, 0.10))
