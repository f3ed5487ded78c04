"""Derives the orientation of the head from a NIfTI header, which may state it once, twice or not at all."""

from __future__ import annotations

import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from insula.errors import BadData, UsageError
from insula.geometry import Grid, ras_map
from insula.types import Flag
from insula.volume import Spaces

__all__ = ["check_plausible", "find_affine"]

_TOLERANCE_MM = 0.5
_SAME_STEP = 0.01  # of the longest step
_STEPS_MM = (0.01, 100.0)
_MOST_SHEAR = 0.5  # cosine: 30 degrees
_FAR_MM = 2000.0
_UNITS = {1: (1000.0, "metres"), 3: (0.001, "micrometres")}
_LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
_REMEDY = "ask whoever converted it, and repair the header"

Affine = NDArray[np.float64]


def find_affine(
    raw: Nifti1Header, shape: tuple[int, ...], flags: list[Flag], assume: str | None
) -> tuple[Affine, Spaces | None]:
    """Return the affine [mm], and the header's own forms of it if they can be kept.

    The sform takes precedence if both forms are given. A file without either is refused, because guessing left and
    right can put a lesion into the wrong hemisphere.

    Args:
        raw: a nibabel header.
        shape: number of voxels along each axis.
        flags: receives a flag for each repair.
        assume: three letters to fall back on, e.g. `LPS`.

    Raises:
        BadData: no orientation; a singular, sheared or non-finite affine; impossible steps; voxel sizes that are given
            twice and disagree; or sform and qform that disagree on left and right.
        UsageError: `assume` is not three letters of three different axes.
    """
    steps = np.array([float(raw["pixdim"][n]) for n in (1, 2, 3)])
    if not np.isfinite(steps).all() or (steps == 0).any():
        raise BadData("pixdim", steps.tolist(), "is not a step per axis in millimetres", _REMEDY)
    if (steps < 0).any():
        flags.append(
            Flag("pixdim-negative", f"The voxel steps in the header are {steps.tolist()}; their sizes were used.")
        )
    sform_code, qform_code = int(raw["sform_code"]), int(raw["qform_code"])
    sform = _sform(raw) if sform_code > 0 else None
    qform = _qform(raw, steps) if qform_code > 0 else None
    if sform is None and qform is None:
        return _assumed(assume, shape, steps, flags) * _unit(raw, flags), None
    if sform is not None and qform is not None:
        _compare(sform, qform, shape, flags)
    elif qform_code > 0 and qform is None:
        flags.append(Flag("qform-invalid", "The qform in the header is not a rotation; the sform was used."))
    affine = sform if sform is not None or qform is None else qform
    assert affine is not None
    Grid(shape[:3], affine)  # raises if the affine is singular or not finite
    _check_steps(affine, steps)
    affine = affine * _unit(raw, flags)
    check_plausible(affine, shape, flags)
    kept = (steps > 0).all() and not (qform_code > 0 and qform is None)
    return affine, _spaces(raw) if kept else None


def _spaces(raw: Nifti1Header) -> Spaces:
    return Spaces(
        sform_code=max(int(raw["sform_code"]), 0),
        qform_code=max(int(raw["qform_code"]), 0),
        sform=tuple(tuple(float(value) for value in raw[f"srow_{row}"]) for row in "xyz"),
        pixdim=tuple(float(value) for value in raw["pixdim"][:4]),  # type: ignore[arg-type]
        quaternion=tuple(float(raw[f"quatern_{letter}"]) for letter in "bcd"),  # type: ignore[arg-type]
        offset=tuple(float(raw[f"qoffset_{letter}"]) for letter in "xyz"),  # type: ignore[arg-type]
        units=int(raw["xyzt_units"]) & 7,
    )


def _check_steps(affine: Affine, steps: Affine) -> None:
    """Refuse voxel sizes in pixdim and affine that disagree, because volumes in millilitres depend on them."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(lengths - np.abs(steps)).max() > _SAME_STEP * lengths.max():
        raise BadData(
            "the voxel size",
            f"of {_text(np.abs(steps))} mm (pixdim) or {_text(lengths)} mm (sform)",
            "is given twice and disagrees, so that every volume is uncertain",
            _REMEDY,
        )


def check_plausible(affine: Affine, shape: tuple[int, ...], flags: list[Flag]) -> None:
    """Refuse geometry that no scanner produces; flag geometry that is unusual but harmless.

    Args:
        affine: 4x4, index to RAS+ [mm], invertible.
        shape: number of voxels along each axis.
        flags: receives a flag if the image lies far from the scanner's origin.

    Raises:
        BadData: a voxel size is not between 0.01 and 100 mm, or an angle is off a right one by 30 degrees or more.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() < _STEPS_MM[0] or lengths.max() > _STEPS_MM[1]:
        rule = f"is not between {_STEPS_MM[0]:g} and {_STEPS_MM[1]:g} mm"
        raise BadData("the voxel size", f"of {_text(lengths)} mm", rule, "check the header's units")
    axes = affine[:3, :3] / lengths
    cosine = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if cosine > _MOST_SHEAR:
        degrees = 90 - np.degrees(np.arccos(min(cosine, 1.0)))
        rule = "is a shear that no scanner produces"
        raise BadData("the angle between two axes", f"off a right one by {degrees:.0f} degrees", rule, _REMEDY)
    middle = affine @ [*((np.array(shape[:3]) - 1) / 2), 1.0]
    far = float(np.linalg.norm(middle[:3]))
    if far > _FAR_MM:
        text = (
            f"The middle of the image lies {far / 1000:,.1f} m from the scanner's origin; positions were kept but mean "
            "little."
        )
        flags.append(Flag("origin-far", text))


def _text(lengths: Affine) -> str:
    return " x ".join(f"{length:.4g}" for length in lengths)


def _sform(raw: Nifti1Header) -> Affine:
    affine = np.eye(4)
    affine[:3] = [raw["srow_x"], raw["srow_y"], raw["srow_z"]]
    return affine


def _qform(raw: Nifti1Header, steps: Affine) -> Affine | None:
    b, c, d = (float(raw[f"quatern_{letter}"]) for letter in "bcd")
    rest = 1 - (b * b + c * c + d * d)
    if not np.isfinite(rest) or rest < -1e-4:
        if int(raw["sform_code"]) <= 0:
            raise BadData("the qform's quaternion", (b, c, d), "is longer than 1, so it is not a rotation", _REMEDY)
        return None
    a = np.sqrt(max(rest, 0.0))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = -1.0 if float(raw["pixdim"][0]) < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.abs(steps) * [1, 1, handed])
    affine[:3, 3] = [float(raw[f"qoffset_{letter}"]) for letter in "xyz"]
    return affine


def _compare(sform: Affine, qform: Affine, shape: tuple[int, ...], flags: list[Flag]) -> None:
    a, b = Grid(shape[:3], sform), Grid(shape[:3], qform)
    if a.close_to(b, tolerance_mm=_TOLERANCE_MM):
        return
    left_a, left_b = ((axes.order[0], axes.flip[0]) for axes in (ras_map(a), ras_map(b)))
    if left_a != left_b:
        raise BadData(
            "the orientation",
            f"{a.axcodes} (sform) or {b.axcodes} (qform)",
            "is given twice, and left and right disagree",
            _REMEDY,
        )
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[:3]])).reshape(3, -1).T
    apart = float(np.linalg.norm(a.centre_mm(corners) - b.centre_mm(corners), axis=1).max())
    flags.append(
        Flag(
            "sform-qform-disagree",
            f"sform ({a.axcodes}) and qform ({b.axcodes}) lie up to {apart:.1f} mm apart; the sform was used.",
        )
    )


def _assumed(assume: str | None, shape: tuple[int, ...], steps: Affine, flags: list[Flag]) -> Affine:
    if assume is None:
        rule = "do not say where left and right are"
        raise BadData(
            "sform_code and qform_code", "0", rule, "if you know the axes, give e.g. `assume_orientation=LPS`"
        )
    letters = assume.upper()
    if len(letters) != 3 or {_LETTERS.get(letter, (9, 0))[0] for letter in letters} != {0, 1, 2}:
        raise UsageError(
            "`assume_orientation`", assume, "does not name three different axes", "write e.g. RAS, LAS or LPS"
        )
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(letters):
        row, sign = _LETTERS[letter]
        affine[row, column] = sign * abs(steps[column])
        affine[row, 3] = -sign * abs(steps[column]) * (shape[column] - 1) / 2
    flags.append(
        Flag(
            "orientation-assumed",
            f"The file does not state the orientation of the head; {letters} was assumed, as requested.",
        )
    )
    return affine


def _unit(raw: Nifti1Header, flags: list[Flag]) -> Affine:
    """Return a 4x4 array of factors to millimetres, with 1 in the last row."""
    factor, name = _UNITS.get(int(raw["xyzt_units"]) & 7, (1.0, ""))
    if name:
        flags.append(
            Flag("units-converted", f"The header gives lengths in {name}; they were converted to millimetres.")
        )
    scale = np.full((4, 4), factor)
    scale[3] = 1.0
    return scale
