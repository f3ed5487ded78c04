"""Grids on which a step along an axis is not what it seems: anisotropic, oblique, sheared."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

_TILT = Rotation.from_euler("xyz", [20, -10, 35], degrees=True).as_matrix()
_SHEAR = np.array([[1.0, 0.35, 0.0], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])

GRIDS = {
    "cubic": np.eye(3),
    "anisotropic": np.diag([0.7, -1.1, 5.0]),
    "oblique": _TILT @ np.diag([1.0, 1.0, 3.0]),
    "oblique, float32": (_TILT @ np.diag([0.9, 1.3, 2.0])).astype(np.float32).astype(np.float64),
    "sheared": _SHEAR @ np.diag([1.0, 1.2, 2.5]),
    "oblique and sheared": _TILT @ _SHEAR @ np.diag([-0.8, 1.0, 4.0]),
}
"""The 3x3 part of an affine, by what is odd about it."""
