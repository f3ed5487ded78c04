"""The page of a memory: which places of a scan the model holds on to."""

from __future__ import annotations

from typing import Any

import numpy as np

from insula.predict import Remembered
from insula.predict.record import DISCLAIMER
from insula.report.page import template
from insula.report.pictures import Frame, Picture, frame_of, outline_of, picture

__all__ = ["render_memory"]

_LISTED = 16


def render_memory(found: Remembered, *, case: str, model: dict[str, Any]) -> str:
    """One self-contained document: an axial picture of every layer of tokens, and a table of the best.

    Args:
        found: from `remember`.
        case: what the scan is called.
        model: facts of the model to show, name -> text.
    """
    frame = frame_of(np.ascontiguousarray(found.image), found.lesion, found.grid.spacing_mm)
    cells = found.cells()
    layers = sorted({token.corner[2] for token in found.tokens}, reverse=True)
    return template("memory.html").render(
        case=case,
        model=model,
        notice=DISCLAIMER,
        mode=found.mode,
        tokens=found.tokens[:_LISTED],
        count=sum(not token.mirrored for token in found.tokens),
        side=found.side,
        layers=[_layer(frame, found, cells, layer) for layer in layers],
    )


def _layer(frame: Frame, found: Remembered, cells: np.ndarray, first: int) -> tuple[Picture, str, int]:
    """The layer's slice with most lesion, the outline of its tokens, and how many there are."""
    inside = found.lesion[:, :, first : first + found.side].sum((0, 1))
    index = first + (int(inside.argmax()) if inside.any() else found.side // 2)
    here = sum(token.corner[2] == first and not token.mirrored for token in found.tokens)
    return picture(frame, "axial", index), outline_of(frame, "axial", index, cells), here
