"""The brain mask: one component without holes, outside of which there is no lesion."""

from __future__ import annotations

import cc3d
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from insula.geometry import Grid, label_components, laid_out, ras_map
from insula.types import Flag
from insula.volume import Mask

__all__ = ["brain_flags", "find_brain", "within_brain"]

_THRESHOLD = 0.5  # lesion probability is 0 up to this (`insula.models.probabilities`)
_PLAUSIBLE_ML = (600.0, 2200.0)


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


def _filled(voxels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill every cavity that no path across voxel faces connects to the volume's rim."""
    outside = np.pad(~voxels, 1, constant_values=True)
    labels = np.asarray(cc3d.connected_components(outside, connectivity=6))
    filled: NDArray[np.bool_] = (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled
