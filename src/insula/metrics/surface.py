"""Distances between the surfaces of two masks, in millimetres."""

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
    """Distance from each border voxel of one mask to the nearest one of the other [mm]; empty for an empty mask."""

    from_truth: NDArray[np.float64]
    from_predicted: NDArray[np.float64]

    @property
    def hd95(self) -> float | None:
        """95th percentile over both directions together [mm]; 0 if both masks are empty, None if one is."""
        return self._if_both(float(np.percentile(self._all, 95)) if len(self._all) else 0.0)

    @property
    def assd(self) -> float | None:
        """Average symmetric surface distance [mm], the mean of both directions' means; as `hd95` for empty masks.

        This is panoptica's definition. MedPy and others pool the distances of both borders before they average, which
        gives the larger border more weight.
        """
        means = [float(distances.mean()) for distances in (self.from_truth, self.from_predicted) if len(distances)]
        return self._if_both(sum(means) / 2)

    def surface_dice(self, tolerance_mm: float) -> float:
        """Return the share of both borders within the tolerance of the other; 1 for two empty masks, 0 for one."""
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
    """Measure the distances between the borders of two masks.

    Border voxels have a face neighbour outside their mask, or lie on the volume's rim. Distances are those in the
    patient, whatever the grid: if its axes are not perpendicular (a sheared affine), voxel spacings alone would give
    wrong ones.

    Args:
        truth: (i, j, k).
        predicted: on the same grid.
        axes_mm: the affine's 3x3 part; its columns are one step along i, j and k [mm].

    Source:
        Heimann 2009, Comparison and evaluation of methods for liver segmentation, IEEE TMI 28:1251, section III.
    """
    where = np.argwhere(truth | predicted)
    if not len(where) or not truth.any() or not predicted.any():
        no_distances, placeholder = np.zeros(0), np.zeros(1)
        return SurfaceDistances(
            placeholder if truth.any() else no_distances, placeholder if predicted.any() else no_distances
        )
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(where.min(0), where.max(0), strict=True))
    padded_truth, padded_predicted = (np.pad(mask[box], 1) for mask in (truth, predicted))
    truth_border, predicted_border = (mask & ~ndimage.binary_erosion(mask) for mask in (padded_truth, padded_predicted))
    measure = _distances if _perpendicular(axes_mm) else _distances_by_tree
    return SurfaceDistances(
        measure(truth_border, predicted_border, axes_mm), measure(predicted_border, truth_border, axes_mm)
    )


def _perpendicular(axes_mm: NDArray[np.float64]) -> bool:
    directions = axes_mm / np.linalg.norm(axes_mm, axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() <= _PERPENDICULAR)


def _distances(
    border: NDArray[np.bool_], other: NDArray[np.bool_], axes_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance from each voxel of a border to the nearest of the other; only these lengths are computed."""
    spacing_mm = np.linalg.norm(axes_mm, axis=0)
    nearest = ndimage.distance_transform_edt(~other, sampling=spacing_mm, return_distances=False, return_indices=True)
    steps = (nearest[:, border] - np.argwhere(border).T) * spacing_mm[:, None]
    return np.sqrt((steps * steps).sum(0))


def _distances_by_tree(
    border: NDArray[np.bool_], other: NDArray[np.bool_], axes_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance from each voxel of a border to the nearest of the other, for axes at any angle."""
    lengths, _ = cKDTree(np.argwhere(other) @ axes_mm.T).query(np.argwhere(border) @ axes_mm.T)
    return np.asarray(lengths, np.float64)
