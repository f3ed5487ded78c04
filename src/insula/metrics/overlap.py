"""Voxel-wise agreement of two masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dice_score"]


def dice_score(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return 2 |a and b| / (|a| + |b|), 0 to 1; symmetric. Two empty masks agree: 1."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0
