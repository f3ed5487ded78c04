"""Masks and label maps that were given for scans."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from insula.errors import BadData

__all__ = ["refuse_labels"]

_EVEN = 0.8  # of the voxels above the background; scans have under a third, scans enlarged without interpolation a half
_BRIGHT = 0.05  # of the highest value: the background is even in scans too


def refuse_labels(image: Float[np.ndarray, "i j k"]) -> None:
    """Refuse an image nearly all of whose voxels equal their neighbour: a mask or a label map.

    Args:
        image: a scan in its own order.

    Raises:
        BadData: it is one.
    """
    low, high = float(image.min()), float(image.max())
    inside = image[1:] > low + _BRIGHT * (high - low)
    count = int(inside.sum())
    even = int(((image[1:] == image[:-1]) & inside).sum())
    if count and even > _EVEN * count:
        rule = "are equal to their neighbour: it is a mask or a label map"
        raise BadData(
            "of the image", f"{even / count:.0%} of the voxels", rule, "give the scan, or use --assume-t1w if it is one"
        )
