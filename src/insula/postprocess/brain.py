"""The brain: one piece without holes, outside of which there is no lesion."""

from __future__ import annotations

import cc3d
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from insula.geometry import Grid, label_components, laid_out, ras_map
from insula.types import Flag
from insula.volume import Mask

__all__ = ["brain_flags", "find_brain", "within_brain"]

_THRESHOLD = 0.5  # where the network's own rule ends lesion probability (`insula.models.probabilities`)
_PLAUSIBLE_ML = (600.0, 2200.0)


def find_brain(prob: Float[np.ndarray, "i j k"], grid: Grid) -> Mask:
    """Voxels of at least 0.5, of which the largest connected piece (26-connected) is kept and its holes are filled.

    Decided on the scan's own grid, not in the network's box: after resampling, a mask need no longer be one piece. Computed in RAS+ order, so that it does not
    depend on how the scan is stored.

    Args:
        prob: probability of brain, 0 to 1, on `grid`.
        grid: the scan's.

    Returns:
        The brain; empty where no voxel reaches 0.5.
    """
    axes = ras_map(grid)
    labels, count = label_components(laid_out(axes.apply(prob >= _THRESHOLD), "C"))
    if count == 0:
        return Mask(np.zeros(grid.shape, bool), grid)
    largest = 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return Mask(laid_out(axes.invert(_filled(labels == largest)), "C"), grid)


def within_brain(prob: Float[np.ndarray, "i j k"], brain: Mask | None) -> NDArray[np.float32]:
    """Lesion probability, 0 outside the brain; as it is where no brain is known.

    The network's answer ends at its brain already. Resampling, mirror averaging, a mean of several networks and pieces apart from the brain can
    leave some outside.

    Args:
        prob: of lesion, on the brain's grid; untouched.
        brain: from `find_brain`, or None.
    """
    return prob if brain is None else np.where(brain.voxels, prob, np.float32(0))


def brain_flags(brain: Mask | None) -> tuple[Flag, ...]:
    """A warning where the brain's volume is outside 600 to 2200 ml, which few living adults' is."""
    low, high = _PLAUSIBLE_ML
    if brain is None or low <= brain.volume_ml <= high:
        return ()
    text = f"The brain measures {brain.volume_ml:.0f} ml, which is not between {low:.0f} and {high:.0f} ml; check its outline before using any volume."
    return (Flag("brain-volume-odd", text),)


def _filled(voxels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With every cavity that no path of faces connects to the volume's rim."""
    outside = np.pad(~voxels, 1, constant_values=True)
    labels = np.asarray(cc3d.connected_components(outside, connectivity=6))
    filled: NDArray[np.bool_] = (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled
