"""Gallery page: simulated heads of every kind, and real scans for comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from insula.geometry import ras_map
from insula.predict.record import DISCLAIMER
from insula.report.page import template
from insula.report.pictures import Picture, Plane, frame_of, picture
from insula.synthetic import Exhibit
from insula.volume import Scan

__all__ = ["GalleryRow", "render_gallery", "show_head", "show_scan"]

_VIEWS: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}


@dataclass(frozen=True)
class GalleryRow:
    """A row of the gallery page: a title, a note, and three planes of a head."""

    title: str
    note: str
    planes: tuple[Picture, ...]


def show_head(exhibit: Exhibit) -> GalleryRow:
    """Return pictures of a simulated head with its truth outlined."""
    head = exhibit.head
    frame = frame_of(head.image.numpy(), head.truth.numpy() > 0, (1.0, 1.0, 1.0))
    planes = tuple(picture(frame, plane, exhibit.focus[_AXIS[plane]]) for plane in _VIEWS)
    return GalleryRow(exhibit.title, exhibit.note, planes)


def show_scan(scan: Scan) -> GalleryRow:
    """Return pictures of a real scan: axial and coronal through the middle of the head, and one sagittal slice."""
    axes, grid = ras_map(scan.grid), scan.grid
    image = axes.apply(scan.image)
    a, b, c = (grid.spacing_mm[axis] for axis in axes.order)
    frame = frame_of(image, np.zeros(image.shape, bool), (a, b, c))
    places = [(view.start + view.stop) // 2 for view in frame.view]
    planes = [picture(frame, plane, places[_AXIS[plane]]) for plane in ("axial", "coronal")]
    left = frame.view[0].start + round(0.28 * (frame.view[0].stop - frame.view[0].start))
    return GalleryRow(
        "a real scan", "what the simulated heads should look like", (*planes, picture(frame, "sagittal", left))
    )


def render_gallery(rows: Iterable[GalleryRow], *, about: str) -> str:
    """Render the gallery as one self-contained HTML page.

    Args:
        rows: the heads, in display order.
        about: one sentence on their origin.
    """
    return template("gallery.html").render(rows=list(rows), about=about, notice=DISCLAIMER)
