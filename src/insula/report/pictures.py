"""Pictures of scan slices, with the outlines of lesion and brain as SVG paths."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Literal

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Frame", "Picture", "Plane", "frame_of", "outline_of", "picture", "polygons_of", "shown"]

Plane = Literal["axial", "coronal", "sagittal"]
_AXIS: dict[Plane, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
_MARKS: dict[Plane, tuple[str, str]] = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}


@dataclass(frozen=True)
class Picture:
    """A picture of one slice, ready for a page."""

    plane: Plane
    width_mm: float
    height_mm: float
    png: str
    """Image data, base64-encoded PNG."""
    outline: str
    """Outline of the lesion, as an SVG path [mm]; empty if there is none."""
    left_mark: str
    """Label for the viewer's left."""
    right_mark: str
    """Label for the viewer's right."""
    place: str
    """Position of the slice, for a caption."""
    brain: str = ""
    """Outline of the brain, as an SVG path [mm]; empty if no brain is known."""
    truth: str = ""
    """Outline of the true lesion, as an SVG path [mm]; empty if it is not shown."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The volume in RAS+ order, grey-level window and field of view that all pictures of a scan share."""

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    low: float
    high: float
    view: tuple[slice, slice, slice]
    brain: NDArray[np.bool_] | None = None


def frame_of(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    brain: NDArray[np.bool_] | None = None,
) -> Frame:
    """Choose the grey-level window and the crop to the head.

    Args:
        image: volume in RAS+ order.
        mask: lesion mask.
        spacing_mm: voxel size [mm].
        brain: brain mask, if known.
    """
    sample = image[::2, ::2, ::2]
    low, high = (float(v) for v in np.percentile(sample, [1, 99.7]))
    bright = (image > low + 0.15 * (high - low)) | mask
    view = []
    for axis, (size, mm) in enumerate(zip(image.shape, spacing_mm, strict=True)):
        profile = bright.mean(axis=tuple(a for a in range(3) if a != axis))
        where = np.flatnonzero(profile > 0.02 * profile.max()) if profile.max() > 0 else np.arange(size)
        margin = round(6 / mm)
        view.append(slice(max(0, int(where[0]) - margin), min(size, int(where[-1]) + margin + 1)))
    return Frame(image, mask, spacing_mm, low, high if high > low else low + 1, (view[0], view[1], view[2]), brain)


def picture(frame: Frame, plane: Plane, index: int, *, truth: NDArray[np.bool_] | None = None) -> Picture:
    """Render a slice in radiological view: the patient's right is on the left, and front or top is up.

    Args:
        frame: from `frame_of`.
        plane: the plane of the slice.
        index: index of the slice in the RAS+ volume.
        truth: true lesion mask, to outline it too.
    """
    grey, (step_x, step_y) = shown(frame, plane, index)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG", optimize=True)
    left, right = _MARKS[plane]
    return Picture(
        plane=plane,
        width_mm=grey.shape[1] * step_x,
        height_mm=grey.shape[0] * step_y,
        png=base64.b64encode(buffer.getvalue()).decode(),
        outline=outline_of(frame, plane, index, frame.mask),
        left_mark=left,
        right_mark=right,
        place=f"{plane} {index + 1}/{frame.image.shape[_AXIS[plane]]}",
        brain="" if frame.brain is None else outline_of(frame, plane, index, frame.brain),
        truth="" if truth is None else outline_of(frame, plane, index, truth),
    )


def shown(frame: Frame, plane: Plane, index: int) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Return the grey levels of a slice, rows from the top, and its pixel size across and down [mm]."""
    cut = _cut(frame, plane, index, frame.image).astype(np.float32)
    grey = np.clip((cut - frame.low) / (frame.high - frame.low), 0, 1)
    return (255 * grey**0.9).astype(np.uint8), _steps(frame, plane)


def outline_of(frame: Frame, plane: Plane, index: int, mask: NDArray[np.bool_]) -> str:
    """Return the outline of a mask in a slice of the frame as an SVG path [mm]; empty if the slice has no mask."""
    pieces = []
    for points in polygons_of(frame, plane, index, mask):
        pieces.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points[:-1]) + "Z")
    return "".join(pieces)


def polygons_of(frame: Frame, plane: Plane, index: int, mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the contours of a mask in a slice: closed polygons, in millimetres from the upper left corner."""
    flat = _cut(frame, plane, index, mask)
    if not flat.any():
        return []
    lines = contourpy.contour_generator(z=np.pad(flat.astype(np.float32), 1)).lines(0.5)
    return [(np.asarray(line) - 0.5) * _steps(frame, plane) for line in lines]


def _cut(frame: Frame, plane: Plane, index: int, volume: NDArray[np.generic]) -> NDArray[np.generic]:
    across, up = (n for n in range(3) if n != _AXIS[plane])
    flat = np.take(volume, index, axis=_AXIS[plane])[frame.view[across], frame.view[up]]
    return flat[::-1, ::-1].T


def _steps(frame: Frame, plane: Plane) -> tuple[float, float]:
    across, up = (n for n in range(3) if n != _AXIS[plane])
    return frame.spacing_mm[across], frame.spacing_mm[up]
