"""Thumbnail of a case: its axial slice with the most lesion, kept in the head of its page."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from insula.report.pictures import Frame, polygons_of, shown

__all__ = ["render_thumbnail", "thumbnail_of"]

_SIDE = 96  # pixels
_GREYS = 15  # with the outline's colour, 16: four bits a pixel
_LESION = (255, 90, 60)
_HEAD_BYTES = 1 << 14
_META = re.compile(rb'<meta name="thumbnail" content="(data:image/png;base64,[A-Za-z0-9+/=]+)">')


def render_thumbnail(frame: Frame, index: int) -> str:
    """Render an axial slice of at most 96 x 96 pixels, in radiological view, with the outline of the lesion.

    Args:
        frame: from `frame_of`.
        index: index of the slice in the RAS+ volume.

    Returns:
        A PNG image of 16 colours, as a data address of at most 6 kB.
    """
    grey, (step_x, step_y) = shown(frame, "axial", index)
    scale = _SIDE / max(grey.shape[1] * step_x, grey.shape[0] * step_y)
    size = max(1, round(grey.shape[1] * step_x * scale)), max(1, round(grey.shape[0] * step_y * scale))
    small = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))
    levels = (small.astype(np.uint16) * _GREYS // 256).astype(np.uint8)
    picture = Image.fromarray(levels).convert("L")
    draw = ImageDraw.Draw(picture)
    for points in polygons_of(frame, "axial", index, frame.mask):
        draw.line([(x * scale, y * scale) for x, y in points], fill=_GREYS)
    coloured = Image.frombytes("P", size, picture.tobytes())
    coloured.putpalette([value for level in range(_GREYS) for value in (level * 255 // (_GREYS - 1),) * 3] + [*_LESION])
    buffer = io.BytesIO()
    coloured.save(buffer, format="PNG", bits=4, optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail_of(page: Path) -> str:
    """Return the thumbnail in the head of a case's page; empty if the page is missing or has none.

    Args:
        page: from `render_page`; pages of earlier versions have no thumbnail.
    """
    try:
        with page.open("rb") as file:
            match = _META.search(file.read(_HEAD_BYTES))
    except OSError:
        return ""
    return match[1].decode() if match else ""
