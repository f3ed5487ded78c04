"""The lesion mask and its single lesions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from insula.config import Calibration
from insula.errors import UsageError
from insula.geometry import Grid, label_components, laid_out, ras_grid, ras_map
from insula.postprocess.doubt import kept_by_chance, lesion_confidence, mean_logits
from insula.volume import Mask

__all__ = ["Lesion", "decide", "measure_lesions", "number_lesions"]


@dataclass(frozen=True)
class Lesion:
    """A connected component of the mask (26-connected)."""

    number: int
    """1 is the largest."""
    volume_ml: float
    """Volume [ml]."""
    centre_mm: tuple[float, float, float]
    """Centre of mass, RAS+ in the scan's own space [mm]."""
    extent_mm: tuple[float, float, float]
    """Size along the left-right, back-front and down-up axes of the scan [mm]."""
    mean_probability: float
    """Mean probability of its voxels, 0 to 1."""
    confidence: float | None = None
    """Probability that it is real, 0 to 1; None if the weights have no such calibration."""


def decide(
    prob: Float[np.ndarray, "i j k"],
    grid: Grid,
    *,
    threshold: float,
    min_lesion_ml: float = 0.0,
    brain: Mask | None = None,
    calibration: Calibration = Calibration(),
) -> Mask:
    """Returns the lesion mask: voxels at or above the threshold, without lesions that are too small or too unlikely.

    Args:
        prob: 0 to 1, on `grid`.
        grid: the scan's grid.
        threshold: above 0, at most 1.
        min_lesion_ml: smaller connected components are dropped [ml].
        brain: on `grid`; there is no lesion outside of it. The whole volume if not given.
        calibration: of the weights; components under `ALWAYS_KEPT_ML` that are less likely to be real than its
            `least_chance` are dropped.

    Raises:
        UsageError: the threshold is outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise UsageError("`threshold`", threshold, "is not above 0 and at most 1", "use e.g. 0.5")
    voxels = prob >= threshold
    if brain is not None:
        voxels &= brain.voxels
    fit = calibration.lesion if calibration.least_chance > 0 else None
    if (min_lesion_ml > 0 or fit is not None) and voxels.any():
        labels, count = label_components(voxels)
        component = labels[voxels]
        volume_ml = np.bincount(component, minlength=count + 1) * grid.voxel_ml
        kept = volume_ml >= min_lesion_ml
        if fit is not None:
            chances = lesion_confidence(mean_logits(prob, labels, count), volume_ml[1:], fit)
            kept[1:] &= kept_by_chance(chances, volume_ml[1:], calibration.least_chance)
        voxels[voxels] = kept[component]
    return Mask(voxels, grid)


def measure_lesions(
    mask: Mask, prob: Float[np.ndarray, "i j k"], calibration: Calibration = Calibration()
) -> tuple[Lesion, ...]:
    """Returns the connected components of a mask, largest first; none for an empty mask.

    They are measured in RAS+ order, so that the numbering does not depend on how the scan is stored.

    Args:
        mask: the lesion mask.
        prob: calibrated, on the mask's grid.
        calibration: of the weights, for each lesion's confidence.
    """
    axes, grid = ras_map(mask.grid), ras_grid(mask.grid)
    labels, count = label_components(laid_out(axes.apply(mask.voxels), "C"))
    if count == 0:
        return ()
    facts, order = _ranked(labels)
    inside = labels > 0
    component, values = labels[inside], axes.apply(prob)[inside]
    sums = np.bincount(component, weights=values, minlength=count + 1)
    confidences: list[float | None] = [None] * count
    if calibration.lesion is not None:
        volumes_ml = facts["voxel_counts"][1:] * grid.voxel_ml
        logits = mean_logits(values, component, count)
        confidences = lesion_confidence(logits, volumes_ml, calibration.lesion).tolist()
    lesions = []
    for number, label in enumerate(order, start=1):
        voxels = int(facts["voxel_counts"][label])
        x, y, z = (float(coordinate) for coordinate in grid.centre_mm(facts["centroids"][label]))
        a, b, c = (
            (bounds.stop - bounds.start) * mm
            for bounds, mm in zip(facts["bounding_boxes"][label], grid.spacing_mm, strict=True)
        )
        lesions.append(
            Lesion(
                number=number,
                volume_ml=voxels * grid.voxel_ml,
                centre_mm=(x, y, z),
                extent_mm=(a, b, c),
                mean_probability=float(sums[label] / voxels),
                confidence=confidences[label - 1],
            )
        )
    return tuple(lesions)


def number_lesions(mask: Mask) -> NDArray[np.uint16]:
    """Returns a map of the lesions, numbered as in `measure_lesions`; background is 0, as is a map of an empty mask."""
    axes = ras_map(mask.grid)
    labels, count = label_components(laid_out(axes.apply(mask.voxels), "C"))
    number = np.zeros(count + 1, np.uint16)
    if count:
        number[_ranked(labels)[1]] = np.arange(1, count + 1)
    return laid_out(axes.invert(number[labels]), "C")


def _ranked(labels: NDArray[np.uint32]) -> tuple[Any, list[int]]:
    """Returns cc3d's statistics and the labels from largest to smallest; ties are broken by position."""
    facts = cc3d.statistics(labels)
    count = len(facts["voxel_counts"]) - 1
    return facts, sorted(
        range(1, count + 1), key=lambda n: (-int(facts["voxel_counts"][n]), *facts["centroids"][n].tolist())
    )
