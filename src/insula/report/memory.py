"""Memory report: the regions of a scan that a model keeps in its memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from insula.predict import Remembered
from insula.predict.record import DISCLAIMER
from insula.report.page import template
from insula.report.pictures import Frame, Picture, frame_of, outline_of, picture

__all__ = ["render_memory"]

_LISTED = 16


def render_memory(remembered: Remembered, *, case: str, model: Mapping[str, object]) -> str:
    """Render a self-contained page: an axial picture of every layer of tokens, and a table of the best tokens.

    Args:
        remembered: from `remember`.
        case: name of the scan.
        model: facts about the model to show, name -> text.
    """
    frame = frame_of(np.ascontiguousarray(remembered.image), remembered.lesion, remembered.grid.spacing_mm)
    cells = remembered.cells()
    layers = sorted({token.corner[2] for token in remembered.tokens}, reverse=True)
    return template("memory.html").render(
        case=case,
        model=model,
        notice=DISCLAIMER,
        mode=remembered.mode,
        tokens=remembered.tokens[:_LISTED],
        count=sum(not token.mirrored for token in remembered.tokens),
        side=remembered.side,
        layers=[_layer(frame, remembered, cells, layer) for layer in layers],
    )


def _layer(frame: Frame, remembered: Remembered, cells: np.ndarray, first: int) -> tuple[Picture, str, int]:
    """Return the slice of a layer with the most lesion, the outline of its tokens, and their number."""
    inside = remembered.lesion[:, :, first : first + remembered.side].sum((0, 1))
    index = first + (int(inside.argmax()) if inside.any() else remembered.side // 2)
    token_count = sum(token.corner[2] == first and not token.mirrored for token in remembered.tokens)
    return picture(frame, "axial", index), outline_of(frame, "axial", index, cells), token_count
