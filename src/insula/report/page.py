"""The page of one case: everything on it, nothing from the network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from insula.geometry import ras_map
from insula.predict import Result
from insula.report.pictures import Frame, Picture, Plane, frame_of, picture

__all__ = ["Truth", "frame_and_focus", "render_page", "template"]

_STRIP = 12
_VIEWS: tuple[Plane, ...] = ("axial", "coronal", "sagittal")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is known of a lesion beside the result, for a page that shows both."""

    volume_ml: float
    """The lesion's volume [ml]."""
    source: Literal["simulation", "experts"]
    """Whether the lesion was simulated, or drawn by experts."""
    note: str
    """One or two sentences about the case."""
    dice: float | None = None
    """Dice of the result with the truth [0, 1]; None where only the volume is known."""


@lru_cache
def template(name: str) -> Template:
    """A page's template; whatever it shows is escaped."""
    environment = Environment(
        loader=PackageLoader("insula.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def render_page(result: Result, record: dict[str, Any], *, truth: Truth | None = None) -> str:
    """The case's page as HTML.

    Args:
        result: what was found.
        record: its JSON record, so that page and record can never differ.
        truth: the volume to show beside the result's; None for an ordinary scan.

    Returns:
        One self-contained document: three planes through the largest lesion, a strip of axial slices, the table of
        lesions, flags and provenance.
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
    )


def frame_and_focus(result: Result) -> tuple[Frame, dict[Plane, int]]:
    """What pictures of a result share, and for each plane the slice to show."""
    axes, grid = ras_map(result.scan.grid), result.scan.grid
    spacing = tuple(grid.spacing_mm[axis] for axis in axes.order)
    brain = None if result.brain is None else axes.apply(result.brain.voxels)
    frame = frame_of(
        axes.apply(result.scan.image), axes.apply(result.mask.voxels), (spacing[0], spacing[1], spacing[2]), brain=brain
    )
    return frame, _focus(frame)


def _focus(frame: Frame) -> dict[Plane, int]:
    """The slices that show most of the lesion; the middle of the head where there is none."""
    mask = frame.mask
    if not mask.any():
        middle = [(s.start + s.stop) // 2 for s in frame.view]
        return {"sagittal": middle[0], "coronal": middle[1], "axial": middle[2]}
    most = [int(mask.sum(axis=tuple(a for a in range(3) if a != axis)).argmax()) for axis in range(3)]
    return {"sagittal": most[0], "coronal": most[1], "axial": most[2]}


def _strip(frame: Frame) -> list[Picture]:
    """Axial slices over the lesion and a little beyond, or over the head."""
    view = frame.view[2]
    first, last = view.start, view.stop - 1
    present = np.flatnonzero(frame.mask.any((0, 1)))
    if present.size:
        margin = max(2, round(8 / frame.spacing_mm[2]))
        first, last = max(first, int(present[0]) - margin), min(last, int(present[-1]) + margin)
    indices = np.unique(np.linspace(first, last, _STRIP).round().astype(int))
    return [picture(frame, "axial", int(index)) for index in indices]
