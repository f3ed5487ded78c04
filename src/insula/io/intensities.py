"""Makes intensities sound as they are read: finite everywhere, padding set aside, not constant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.io.padding import set_aside
from insula.types import Flag

__all__ = ["sound_image"]


def sound_image(image: NDArray[np.float32], flags: list[Flag]) -> NDArray[np.float32]:
    """Fill voxels that are not finite, and replace padding by the level of air.

    Args:
        image: (i, j, k), as read from the file; not changed.
        flags: receives a flag for each repair.

    Returns:
        The image, or a copy if anything was replaced. NaN and infinite voxels hold the smallest finite value.

    Raises:
        BadData: no voxel is finite, or all have the same value.
    """
    image = set_aside(_filled(image, flags), flags)
    low, high = float(image.min()), float(image.max())
    if low == high:
        what = "zero everywhere" if low == 0 else "the same everywhere"
        raise BadData("the image", f"with the value {low:g}", f"is {what}", "check how it was exported")
    return image


def _filled(image: NDArray[np.float32], flags: list[Flag]) -> NDArray[np.float32]:
    finite = np.isfinite(image)
    if finite.all():
        return image
    if not finite.any():
        raise BadData("the image", f"of {image.size:,} voxels", "holds no finite value", "check how it was exported")
    nans, count = int(np.isnan(image).sum()), int(image.size - finite.sum())
    least = image[finite].min()
    flags.append(
        Flag(
            "voxels-filled",
            f"{nans:,} NaN and {count - nans:,} infinite voxels were filled with the darkest value, {least:g}.",
        )
    )
    return np.where(finite, image, least)
