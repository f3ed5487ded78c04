"""The voxel grid in patient space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.types import Shape

__all__ = ["Grid"]


@dataclass(frozen=True, eq=False)
class Grid:
    """The shape of a volume and its affine from index (i, j, k) to RAS+ millimetres.

    The affine maps voxel *centres*; a voxel extends half a step to each side of its centre.

    Args:
        shape: number of voxels along i, j, k, each at least 1.
        affine: 4x4, float64, invertible [mm]; x to the patient's right, y anterior, z superior.

    Raises:
        BadData: the affine is singular, not finite or not 4x4.
    """

    shape: Shape
    affine: NDArray[np.float64]

    def __init__(self, shape: tuple[int, ...], affine: Sequence[Sequence[float]] | NDArray[np.number]) -> None:
        matrix = np.array(affine, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise BadData(
                "the grid",
                f"of shape {tuple(shape)}",
                "does not have three axes of at least one voxel",
                "give a 3-D volume",
            )
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise BadData(
                "the affine", matrix.tolist(), "is not a finite 4x4 matrix", "repair the header (sform or qform)"
            )
        volume = abs(np.linalg.det(matrix[:3, :3]))
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if volume <= 1e-6 * max(lengths.prod(), 1e-12):
            raise BadData(
                "the affine",
                matrix[:3, :3].tolist(),
                "is singular: its axes span no volume",
                "repair the header (sform or qform)",
            )
        matrix.setflags(write=False)
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "affine", matrix)

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """The step along i, j and k [mm]."""
        steps = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(steps[0]), float(steps[1]), float(steps[2])

    @cached_property
    def voxel_ml(self) -> float:
        """The volume of one voxel [ml]."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @cached_property
    def axcodes(self) -> str:
        """The direction of each axis, e.g. `RAS` or `LPS`; the nearest direction for oblique grids."""
        from nibabel.orientations import aff2axcodes

        return "".join(aff2axcodes(self.affine))

    def centre_mm(self, index: Sequence[float] | NDArray[np.number]) -> NDArray[np.float64]:
        """Return the RAS+ positions of voxel indices, shape (..., 3) -> (..., 3) [mm]."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def close_to(self, other: Grid, *, tolerance_mm: float | None = None) -> bool:
        """Whether both grids have the same shape and place every voxel at the same position.

        Args:
            other: the grid to compare with.
            tolerance_mm: largest difference along any axis; a fiftieth of the smallest voxel step if not given.
        """
        apart = self.apart_mm(other)
        return apart is not None and apart <= (min(self.spacing_mm) / 50 if tolerance_mm is None else tolerance_mm)

    def apart_mm(self, other: Grid) -> float | None:
        """Return the largest distance of a voxel between both grids along any axis [mm]; None if the shapes differ."""
        if self.shape != other.shape:
            return None
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return float(np.abs(self.centre_mm(corners) - other.centre_mm(corners)).max())

    def unlike(self, other: Grid) -> str:
        """Describe in words how two grids differ: number of voxels, axis order, voxel size, direction or origin.

        Only differences that move a voxel by more than a fiftieth of the smallest step are named.
        """
        if self.shape != other.shape:
            return f"{_times(self.shape)} voxels against {_times(other.shape)}"
        if self.axcodes != other.axcodes:
            return f"axes {self.axcodes} against {other.axcodes}"
        allowed, reach = min(self.spacing_mm) / 50, max(self.shape)
        differences = []
        ours, theirs = self.affine[:3, :3] / self.spacing_mm, other.affine[:3, :3] / other.spacing_mm
        if np.abs(np.subtract(self.spacing_mm, other.spacing_mm)).max() * reach > allowed:
            differences.append(
                f"the size of a voxel, {_millimetres(self.spacing_mm)} against {_millimetres(other.spacing_mm)} mm"
            )
        degrees = float(np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(ours - theirs, axis=0) / 2, 0, 1)).max()))
        if np.abs(ours - theirs).max() * max(self.spacing_mm) * reach > allowed:
            differences.append(f"the direction of an axis, by {degrees:.3g} degrees")
        away = float(np.linalg.norm(self.affine[:3, 3] - other.affine[:3, 3]))
        if away > allowed:
            differences.append(f"the origin, by {away:.3g} mm")
        quantities = f"{' and '.join(differences)}: " if differences else ""
        return f"{quantities}the same voxel lies up to {self.apart_mm(other):.3g} mm apart"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _millimetres(spacing_mm: tuple[float, float, float]) -> str:
    return " x ".join(f"{mm:.6g}" for mm in spacing_mm)
