"""The brain mask: one component without holes, outside of which there is no lesion."""

from __future__ import annotations

import cc3d
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from insula.geometry import Grid, label_components, laid_out, ras_map
from insula.types import Flag
from insula.volume import Mask

__all__ = ["brain_flags", "find_brain", "flat_contrast", "grey_share", "within_brain"]

_THRESHOLD = 0.5  # lesion probability is 0 up to this (`insula.models.probabilities`)
_PLAUSIBLE_ML = (600.0, 2200.0)
_FLAT = 0.76
_FEWEST = 1000  # voxels of brain that say something about its contrast


def find_brain(prob: Float[np.ndarray, "i j k"], grid: Grid) -> Mask:
    """Returns the largest connected component (26-connected) of voxels at or above 0.5, with its holes filled.

    This is done on the scan's own grid, not in the network's box: resampling can break a mask into several pieces. It
    is computed in RAS+ order, so that it does not depend on how the scan is stored.

    Args:
        prob: probability of brain, 0 to 1, on `grid`.
        grid: the scan's grid.

    Returns:
        The brain mask; empty where no voxel reaches 0.5.
    """
    axes = ras_map(grid)
    labels, count = label_components(laid_out(axes.apply(prob >= _THRESHOLD), "C"))
    if count == 0:
        return Mask(np.zeros(grid.shape, bool), grid)
    largest = 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return Mask(laid_out(axes.invert(_filled(labels == largest)), "C"), grid)


def within_brain(prob: Float[np.ndarray, "i j k"], brain: Mask | None) -> NDArray[np.float32]:
    """Returns the lesion probability, set to 0 outside the brain; unchanged if no brain is given.

    The network's output already ends at its brain. Resampling, mirror averaging, averaging several networks, and
    components apart from the brain can still leave some probability outside.

    Args:
        prob: of lesion, on the brain's grid; left unchanged.
        brain: from `find_brain`, or None.
    """
    return prob if brain is None else np.where(brain.voxels, prob, np.float32(0))


def brain_flags(brain: Mask | None) -> tuple[Flag, ...]:
    """Returns a warning if the brain's volume is outside 600 to 2200 ml, which is rare in living adults."""
    low, high = _PLAUSIBLE_ML
    if brain is None or low <= brain.volume_ml <= high:
        return ()
    text = (
        f"The brain measures {brain.volume_ml:.0f} ml, which is not between {low:.0f} and {high:.0f} ml; "
        "check its outline before using any volume."
    )
    return (Flag("brain-volume-odd", text),)


def flat_contrast(image: Float[np.ndarray, "i j k"], brain: Float[np.ndarray, "i j k"]) -> tuple[Flag, ...]:
    """Returns a warning if grey matter is nearly as bright as white matter, as in spin echoes.

    Args:
        image: of any scale, air darker than the brain.
        brain: probability of brain, 0 to 1, on the image's grid.
    """
    share = grey_share(image, brain)
    if share is None or share <= _FLAT:
        return ()
    text = (
        f"Grey matter is nearly as bright as white matter ({share:.2f}; at most {_FLAT} is usual), as in spin echoes; "
        "lesions stand out less there, and part of one can be missed."
    )
    return (Flag("grey-like-white", text),)


def grey_share(image: Float[np.ndarray, "i j k"], brain: Float[np.ndarray, "i j k"]) -> float | None:
    """Returns how bright grey matter is in relation to white matter; None if there is too little brain to tell.

    It is the 40th percentile of the brain's intensity above air, divided by the 90th; air is the 5th percentile of what
    is not brain. `python -m studies.grey_white` measures it.

    Args:
        image: of any scale, air darker than the brain.
        brain: probability of brain, 0 to 1, on the image's grid.
    """
    inside = brain >= _THRESHOLD
    if not _FEWEST <= inside.sum() < inside.size:
        return None
    air = np.quantile(image[~inside], 0.05)
    grey, white = np.quantile(image[inside], (0.4, 0.9)) - air
    return float(grey / white) if white > 0 else None


def _filled(voxels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill every cavity that no path across voxel faces connects to the volume's rim."""
    outside = np.pad(~voxels, 1, constant_values=True)
    labels = np.asarray(cc3d.connected_components(outside, connectivity=6))
    filled: NDArray[np.bool_] = (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled
