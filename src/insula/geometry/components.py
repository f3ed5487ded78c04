"""Labels the connected components of a mask."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray

__all__ = ["label_components"]


def label_components(voxels: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], int]:
    """Label the 26-connected components (sharing a face, edge or corner) from 1; 0 is the background.

    Every lesion count in insula uses this function.

    Args:
        voxels: (i, j, k); may be read-only.

    Returns:
        Labels of the same shape, and the number of components; 0 for an empty mask.
    """
    data = voxels if voxels.flags.writeable else voxels.copy()  # cc3d requires a writeable buffer
    labels, count = cc3d.connected_components(data, connectivity=26, return_N=True, out_dtype=np.uint32)
    return np.asarray(labels), int(count)
