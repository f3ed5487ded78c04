"""Masks and label maps mistaken for scans."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from insula.errors import BadData

__all__ = ["refuse_labels"]

_EVEN = 0.8  # of the foreground voxels; scans have under a third, or a half if enlarged without interpolation
_BRIGHT = 0.05  # share of the intensity range that is background, which is even in scans too


def refuse_labels(image: Float[np.ndarray, "i j k"]) -> None:
    """Refuse a mask or a label map: an image in which nearly all voxels equal their neighbour.

    Args:
        image: a scan in its own axis order.

    Raises:
        BadData: the image is a mask or a label map.
    """
    low, high = float(image.min()), float(image.max())
    inside = image[1:] > low + _BRIGHT * (high - low)
    count = int(inside.sum())
    even = int(((image[1:] == image[:-1]) & inside).sum())
    if count and even > _EVEN * count:
        rule = "equal to their neighbour is a mask or a label map"
        raise BadData(
            "the image",
            f"with {even / count:.0%} of its voxels",
            rule,
            "give the scan, or use `assume_t1w` if it is one",
        )
