"""The report of a case as one picture: three planes through the largest lesion, and the figures as text."""

from __future__ import annotations

import textwrap

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from insula.predict import Result, ResultRecord
from insula.report.page import frame_and_focus
from insula.report.pictures import Frame, Plane, polygons_of, shown

__all__ = ["render_capture"]

_PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
_SIZE = 360  # side of the square for each plane [pixels]
_MARGIN, _LINE, _LONGEST = 20, 30, 105
_INK, _SOFT, _LESION, _WARN = (236, 240, 242), (150, 160, 168), (255, 90, 60), (255, 207, 135)
_FINER = 3  # oversampling, for smooth lines


def render_capture(result: Result, record: ResultRecord) -> UInt8[np.ndarray, "rows columns 3"]:
    """Render the picture in radiological view, without any name or path.

    Args:
        result: the segmentation result.
        record: its JSON record, so that picture and record cannot differ.
    """
    words = [(line, colour) for text, colour in _words(record) for line in textwrap.wrap(text, _LONGEST)]
    height = 2 * _MARGIN + _SIZE + _LINE * (len(words) + 1)
    image = Image.new("RGB", (4 * _MARGIN + 3 * _SIZE, height))
    draw = ImageDraw.Draw(image)
    frame, focus = frame_and_focus(result)
    for number, plane in enumerate(_PLANES):
        image.paste(_plane(frame, plane, focus[plane]), (_MARGIN + number * (_SIZE + _MARGIN), _MARGIN))
    font = ImageFont.load_default(20)
    for number, (text, colour) in enumerate(words):
        draw.text((_MARGIN, 2 * _MARGIN + _SIZE + _LINE * number), text, fill=colour, font=font)
    return np.asarray(image)


def _plane(frame: Frame, plane: Plane, index: int) -> Image.Image:
    grey, (step_x, step_y) = shown(frame, plane, index)
    scale = _SIZE * _FINER / max(grey.shape[1] * step_x, grey.shape[0] * step_y)
    size = round(grey.shape[1] * step_x * scale), round(grey.shape[0] * step_y * scale)
    picture = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for points in polygons_of(frame, plane, index, frame.mask):
        draw.line([(x * scale, y * scale) for x, y in points], fill=_LESION, width=2 * _FINER, joint="curve")
    square = Image.new("RGB", (_SIZE * _FINER, _SIZE * _FINER))
    square.paste(picture, ((square.width - size[0]) // 2, (square.height - size[1]) // 2))
    square = square.resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)
    ImageDraw.Draw(square).text(
        (4, _SIZE - 22), "A - P" if plane == "sagittal" else "R - L", fill=_SOFT, font=ImageFont.load_default(16)
    )
    return square


def _words(record: ResultRecord) -> list[tuple[str, tuple[int, int, int]]]:
    count, confidence = record["lesion_count"], record["confidence"]
    summary = record["reason"] or f"{record['volume_ml']:.2f} ml in {count} lesion{'' if count == 1 else 's'}"
    words = [(summary, _INK)]
    interval_ml, level = confidence["volume_interval_ml"], confidence["volume_interval_level"]
    if interval_ml is not None and level is not None:
        low, high = interval_ml
        words.append((f"{100 * level:.0f} % interval: {low:.1f} to {high:.1f} ml", _SOFT))
    weights = record["provenance"]["weights"]
    words.append(
        (
            f"insula {record['provenance']['insula']}, weights {weights['name']}, trained on {weights['trained_on']}",
            _SOFT,
        )
    )
    words += [(flag["text"], _WARN) for flag in record["flags"] if flag["severity"] == "warning"]
    return [*words, (record["notice"], _WARN)]
