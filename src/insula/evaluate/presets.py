"""Which metrics a benchmark means, with every edge case decided."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "PRESETS", "Metric", "Preset"]


@dataclass(frozen=True)
class Metric:
    """One number of a case."""

    key: str
    label: str
    better: Literal["high", "low"]
    both_empty: str
    """What it is where truth and prediction are empty."""
    one_empty: str
    """And where one of them is."""
    of: Literal["lesion", "control"] = "lesion"
    """Which cases it is a metric of; a challenge's preset takes it of all."""
    most: float = math.inf
    """The highest value; the lowest of every metric is 0."""

    def is_of(self, truth_voxels: int) -> bool:
        """Whether it is a metric of a case whose true lesion has so many voxels."""
        return (self.of == "lesion") == (truth_voxels > 0)


_ALL = (
    Metric("dice", "Dice", "high", "1", "0", most=1),
    Metric("f1_any", "lesion F1, any overlap", "high", "1", "0", most=1),
    Metric("f1_iou25", "lesion F1, IoU ≥ 0.25", "high", "1", "0", most=1),
    Metric(
        "pr_auc",
        "PR-AUC",
        "high",
        "1 if the map is constant, else 0",
        "empty truth: as both empty; else as computed",
        most=1,
    ),
    Metric("volume_difference_ml", "absolute volume difference [ml]", "low", "0", "the other's volume"),
    Metric("volume_difference_voxels", "absolute volume difference [voxels]", "low", "0", "the other's volume"),
    Metric("count_difference", "absolute lesion count difference", "low", "0", "the other's count"),
    Metric("hd95_mm", "HD95 [mm]", "low", "0", "undefined, counted apart"),
    Metric("assd_mm", "ASSD [mm]", "low", "0", "undefined, counted apart"),
    Metric("surface_dice_2mm", "surface Dice, 2 mm", "high", "1", "0", most=1),
    Metric("cc_dice", "Dice per lesion (CC)", "high", "1", "0", most=1),
    Metric("empty", "controls with an empty mask", "high", "1", "0", of="control", most=1),
    Metric("false_ml", "false volume of controls [ml]", "low", "0", "the predicted volume", of="control"),
)
METRICS = {metric.key: metric for metric in _ALL}
"""Every metric by its key."""


@dataclass(frozen=True)
class Preset:
    """A benchmark's choice of metrics."""

    name: str
    version: str
    """Changes whenever a number could."""
    metrics: tuple[str, ...]
    note: str
    controls_apart: bool = False
    """Whether a metric is undefined for cases that it is not a metric of, so that no mean mixes controls with the others."""


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "atlas2022",
            "1",
            ("dice", "f1_any", "count_difference", "volume_difference_voxels"),
            "ATLAS R2.0 challenge. One common voxel makes a lesion found; lesions are 26-connected throughout (the "
            "public scorer counts them 6-connected) and the volume difference is that of truth and prediction (the "
            "public scorer, scoring one case at a time, subtracts the prediction from itself).",
        ),
        Preset(
            "isles2026",
            "1",
            ("dice", "volume_difference_ml", "count_difference", "f1_iou25", "pr_auc"),
            "ISLES'26. A lesion is found by a one-to-one partner of IoU 0.25 or more, 26-connected. PR-AUC needs the "
            "probability map; without it the metric is undefined.",
        ),
        Preset(
            "full",
            "2",
            tuple(metric.key for metric in _ALL),
            "Everything. Cases with a lesion and controls are apart: overlap, volume and distance are of cases with a lesion, and of "
            "controls it is said how many masks are empty and how much is called lesion.",
            controls_apart=True,
        ),
    )
}
"""By name."""
