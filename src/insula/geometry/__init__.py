"""Voxel geometry: grids, RAS+ axis order and resampling in millimetres."""

from insula.geometry.components import label_components
from insula.geometry.grid import Grid
from insula.geometry.layout import laid_out
from insula.geometry.orientation import AxisMap, axes_onto, axis_map, ras_grid, ras_map, reordered, unlike_in_order
from insula.geometry.resampling import resample

__all__ = [
    "AxisMap",
    "Grid",
    "axes_onto",
    "axis_map",
    "label_components",
    "laid_out",
    "ras_grid",
    "ras_map",
    "reordered",
    "resample",
    "unlike_in_order",
]
