"""Lesion report of one case, as a self-contained HTML page that fetches nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from insula.geometry import ras_map
from insula.predict import Result, ResultRecord
from insula.report.pictures import Frame, Picture, Plane, frame_of, picture
from insula.report.thumbnail import render_thumbnail

__all__ = ["Truth", "frame_and_focus", "render_page", "template"]

_STRIP = 12
_VIEWS: tuple[Plane, ...] = ("axial", "coronal", "sagittal")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Independent knowledge of the lesion, shown beside the result."""

    volume_ml: float
    """Lesion volume [ml]."""
    source: Literal["simulation", "experts"]
    """Whether the lesion was simulated, or drawn by experts."""
    note: str
    """One or two sentences about the case."""
    dice: float | None = None
    """Dice of the result with the truth [0, 1]; None if only the volume is known."""


@lru_cache
def template(name: str) -> Template:
    """Load a page template; all values are HTML-escaped."""
    environment = Environment(
        loader=PackageLoader("insula.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def render_page(result: Result, record: ResultRecord, *, truth: Truth | None = None) -> str:
    """Render the report of a case as HTML.

    Args:
        result: the segmentation result.
        record: its JSON record, so that page and record can never differ.
        truth: independent knowledge to show beside the result; None for an ordinary scan.

    Returns:
        One self-contained document: three planes through the largest lesion, a strip of axial slices, the table of
        lesions, flags and provenance. Its head holds a thumbnail for the index.
    """
    frame, centre = frame_and_focus(result)
    return template("page.html").render(
        record=record,
        truth=truth,
        planes=[picture(frame, plane, centre[plane]) for plane in _VIEWS],
        strip=_strip(frame),
        warnings=[f for f in record["flags"] if f["severity"] == "warning"],
        notes=[f for f in record["flags"] if f["severity"] == "note"],
        provenance=json.dumps(record["provenance"], indent=2),
        thumbnail=render_thumbnail(frame, centre["axial"]),
    )


def frame_and_focus(result: Result) -> tuple[Frame, dict[Plane, int]]:
    """Return the frame that all pictures of a result share, and the slice to show in each plane."""
    axes, grid = ras_map(result.scan.grid), result.scan.grid
    spacing = tuple(grid.spacing_mm[axis] for axis in axes.order)
    brain = None if result.brain is None else axes.apply(result.brain.voxels)
    frame = frame_of(
        axes.apply(result.scan.image), axes.apply(result.mask.voxels), (spacing[0], spacing[1], spacing[2]), brain=brain
    )
    return frame, _focus(frame)


def _focus(frame: Frame) -> dict[Plane, int]:
    """Return the slices with the most lesion, or through the middle of the head if there is none."""
    mask = frame.mask
    if not mask.any():
        middle = [(s.start + s.stop) // 2 for s in frame.view]
        return {"sagittal": middle[0], "coronal": middle[1], "axial": middle[2]}
    most = [int(mask.sum(axis=tuple(a for a in range(3) if a != axis)).argmax()) for axis in range(3)]
    return {"sagittal": most[0], "coronal": most[1], "axial": most[2]}


def _strip(frame: Frame) -> list[Picture]:
    """Return axial slices over the lesion with a small margin, or over the head if there is no lesion."""
    view = frame.view[2]
    first, last = view.start, view.stop - 1
    present = np.flatnonzero(frame.mask.any((0, 1)))
    if present.size:
        margin = max(2, round(8 / frame.spacing_mm[2]))
        first, last = max(first, int(present[0]) - margin), min(last, int(present[-1]) + margin)
    indices = np.unique(np.linspace(first, last, _STRIP).round().astype(int))
    return [picture(frame, "axial", int(index)) for index in indices]
