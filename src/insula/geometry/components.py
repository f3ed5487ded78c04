"""The connected pieces of a mask."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray

__all__ = ["label_components"]


def label_components(voxels: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], int]:
    """Number the pieces that touch by face, edge or corner (26-connected), from 1; 0 is the background.

    Every count of lesions in insula is made with this one.

    Args:
        voxels: (i, j, k); read-only arrays too.

    Returns:
        Labels of the same shape, and how many pieces there are.
    """
    data = voxels if voxels.flags.writeable else voxels.copy()  # cc3d wants a buffer that it could write
    labels, count = cc3d.connected_components(data, connectivity=26, return_N=True, out_dtype=np.uint32)
    return np.asarray(labels), int(count)
