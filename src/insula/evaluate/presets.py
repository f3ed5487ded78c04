"""Metric presets of benchmarks, with every edge case defined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "PRESETS", "Metric", "Preset"]


@dataclass(frozen=True)
class Metric:
    """A metric of one case."""

    key: str
    label: str
    better: Literal["high", "low"]
    both_empty: str
    """Value if truth and prediction are both empty."""
    one_empty: str
    """Value if only one of them is empty."""
    of: Literal["lesion", "control"] = "lesion"
    """Cases for which it is meant; challenge presets apply it to all cases."""
    most: float = math.inf
    """Highest possible value; the lowest of every metric is 0."""

    def is_of(self, truth_voxels: int) -> bool:
        """Return whether the metric applies to a case whose true lesion has that many voxels."""
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
"""All metrics by key."""


@dataclass(frozen=True)
class Preset:
    """The metrics of a benchmark."""

    name: str
    version: str
    """Version; changes whenever a result could change."""
    metrics: tuple[str, ...]
    note: str
    controls_apart: bool = False
    """Whether metrics are undefined for cases they are not meant for, so that no mean mixes controls with lesions."""


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "atlas2022",
            "1",
            ("dice", "f1_any", "count_difference", "volume_difference_voxels"),
            "ATLAS R2.0 challenge. A lesion counts as detected if one voxel overlaps; lesions are 26-connected "
            "throughout (the public scorer uses 6-connectivity), and the volume difference is between truth and "
            "prediction (the public scorer, scoring one case at a time, subtracts the prediction from itself).",
        ),
        Preset(
            "isles2026",
            "1",
            ("dice", "volume_difference_ml", "count_difference", "f1_iou25", "pr_auc"),
            "ISLES'26. A lesion counts as detected if it has a one-to-one match with an IoU of at least 0.25; lesions "
            "are 26-connected. PR-AUC needs the probability map and is undefined without it.",
        ),
        Preset(
            "full",
            "2",
            tuple(metric.key for metric in _ALL),
            "All metrics. Cases with a lesion and controls are reported separately: overlap, volume and distance for "
            "cases with a lesion; the share of empty masks and the false lesion volume for controls.",
            controls_apart=True,
        ),
    )
}
"""All presets by name."""
