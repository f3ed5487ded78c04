"""Agreement of two surfaces, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["SurfaceDistances", "surface_distances"]


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """From every border voxel of each mask to the nearest one of the other [mm]; empty where a mask is."""

    from_truth: NDArray[np.float64]
    from_predicted: NDArray[np.float64]

    @property
    def hd95(self) -> float | None:
        """95th percentile over both directions together [mm]; 0 for two empty masks, None for one."""
        return self._if_both(float(np.percentile(self._all, 95)) if len(self._all) else 0.0)

    @property
    def assd(self) -> float | None:
        """Average symmetric surface distance [mm]: the mean of both directions' means; as `hd95` when empty.

        Some authors pool the distances of both borders instead; this is the form of panoptica and MedPy.
        """
        means = [float(one.mean()) for one in (self.from_truth, self.from_predicted) if len(one)]
        return self._if_both(sum(means) / 2)

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of both borders that lies within the tolerance of the other; 1 for two empty masks, 0 for one."""
        within = self._if_both(float((self._all <= tolerance_mm).mean()) if len(self._all) else 1.0)
        return 0.0 if within is None else within

    @property
    def _all(self) -> NDArray[np.float64]:
        return np.concatenate([self.from_truth, self.from_predicted])

    def _if_both(self, value: float) -> float | None:
        return value if bool(len(self.from_truth)) == bool(len(self.from_predicted)) else None


def surface_distances(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> SurfaceDistances:
    """Measure between borders: voxels of a mask with a face neighbour outside it, or on the volume's rim.

    Args:
        truth: (i, j, k).
        predicted: on the same grid.
        spacing_mm: the grid's steps.

    Source:
        Heimann 2009, Comparison and evaluation of methods for liver segmentation, IEEE TMI 28:1251, section III.
    """
    where = np.argwhere(truth | predicted)
    if not len(where) or not truth.any() or not predicted.any():
        none, some = np.zeros(0), np.zeros(1)
        return SurfaceDistances(some if truth.any() else none, some if predicted.any() else none)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(where.min(0), where.max(0), strict=True))
    one, two = (np.pad(mask[box], 1) for mask in (truth, predicted))
    one_border, two_border = (mask & ~ndimage.binary_erosion(mask) for mask in (one, two))
    return SurfaceDistances(
        _distances(one_border, two_border, spacing_mm), _distances(two_border, one_border, spacing_mm)
    )


def _distances(
    border: NDArray[np.bool_], other: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """From each voxel of a border to the nearest of the other one; lengths are taken of those alone, not of a volume."""
    nearest = ndimage.distance_transform_edt(~other, sampling=spacing_mm, return_distances=False, return_indices=True)
    steps = (nearest[:, border] - np.argwhere(border).T) * np.array(spacing_mm)[:, None]
    return np.sqrt((steps * steps).sum(0))
