"""Agreement of two surfaces, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = ["SurfaceDistances", "surface_distances"]

_PERPENDICULAR = 1e-6  # cosine of the angle between two axes; float32 headers of oblique scans stay below it


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

        This is panoptica's form. MedPy and others pool the distances of both borders before they average, which gives
        the larger border more weight.
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
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], axes_mm: NDArray[np.float64]
) -> SurfaceDistances:
    """Measure between borders: voxels of a mask with a face neighbour outside it, or on the volume's rim.

    Distances are those in the patient, whatever the grid: where its axes are not perpendicular (a sheared affine),
    their lengths alone would give wrong ones.

    Args:
        truth: (i, j, k).
        predicted: on the same grid.
        axes_mm: the affine's 3x3 part; its columns are one step along i, j and k [mm].

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
    measure = _distances if _perpendicular(axes_mm) else _distances_by_tree
    return SurfaceDistances(measure(one_border, two_border, axes_mm), measure(two_border, one_border, axes_mm))


def _perpendicular(axes_mm: NDArray[np.float64]) -> bool:
    directions = axes_mm / np.linalg.norm(axes_mm, axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() <= _PERPENDICULAR)


def _distances(
    border: NDArray[np.bool_], other: NDArray[np.bool_], axes_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From each voxel of a border to the nearest of the other one; lengths are taken of those alone, not of a volume."""
    spacing_mm = np.linalg.norm(axes_mm, axis=0)
    nearest = ndimage.distance_transform_edt(~other, sampling=spacing_mm, return_distances=False, return_indices=True)
    steps = (nearest[:, border] - np.argwhere(border).T) * spacing_mm[:, None]
    return np.sqrt((steps * steps).sum(0))


def _distances_by_tree(
    border: NDArray[np.bool_], other: NDArray[np.bool_], axes_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From each voxel of a border to the nearest of the other one, for axes at any angle."""
    lengths, _ = cKDTree(np.argwhere(other) @ axes_mm.T).query(np.argwhere(border) @ axes_mm.T)
    return np.asarray(lengths, np.float64)
