"""The orientation is read from sform, qform or what the user states; what cannot be true is refused."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest

from insula.errors import BadData, UsageError
from insula.io.nifti_affine import check_plausible, find_affine
from insula.types import Flag
from insula.volume import Spaces

_SHAPE = (11, 21, 31)
_STEPS = (1.0, 1.5, 2.0)


def _raw(*, sform: np.ndarray | None = None, qform: np.ndarray | None = None, **fields: Any) -> nib.Nifti1Header:
    header = nib.Nifti1Header()
    header.set_data_shape(_SHAPE)
    header["pixdim"][1:4] = _STEPS
    if qform is not None:
        header.set_qform(qform, 1, strip_shears=False)
    if sform is not None:
        header.set_sform(sform, 2)
    for key, value in fields.items():
        header[key] = value
    return header


def _turned(*degrees: float) -> np.ndarray:
    """An affine with the steps, turned about x, y and z, and an offset."""
    affine = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        turn = np.eye(4)
        first, second = [n for n in range(3) if n != axis]
        turn[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        affine = affine @ turn
    affine[:3, :3] *= _STEPS
    affine[:3, 3] = -10, 20, 30
    return affine


def _read(raw: nib.Nifti1Header, assume: str | None = None) -> tuple[np.ndarray, Spaces | None, list[Flag]]:
    flags: list[Flag] = []
    affine, spaces = find_affine(raw, _SHAPE, flags, assume)
    return affine, spaces, flags


@pytest.mark.parametrize("angles", [(0, 0, 0), (10, 0, 0), (0, 20, 0), (0, 0, 30), (10, 20, 30), (100, -40, 170)])
@pytest.mark.parametrize("flip", [1, -1])
def test_a_qform_is_the_affine_that_nibabel_reads(angles: tuple[float, ...], flip: int) -> None:
    raw = _raw(qform=_turned(*angles) @ np.diag([1, 1, flip, 1]))
    affine, spaces, flags = _read(raw)
    assert np.allclose(affine, raw.get_qform(), atol=1e-5)
    assert np.linalg.det(affine[:3, :3]) * flip > 0
    assert flags == []
    assert spaces is not None
    assert (spaces.sform_code, spaces.qform_code) == (0, 1)


def test_the_sform_precedes_the_qform_and_a_difference_is_flagged() -> None:
    sform, qform = _turned(0, 0, 5), _turned(0, 0, 0)
    affine, spaces, flags = _read(_raw(sform=sform, qform=qform))
    assert np.allclose(affine, sform)
    assert spaces is not None
    assert np.allclose(spaces.sform, sform[:3])
    assert (spaces.sform_code, spaces.qform_code) == (2, 1)
    (flag,) = flags
    corners = np.array([[i, j, k, 1] for i in (0, 10) for j in (0, 20) for k in (0, 30)])
    apart = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    assert flag.code == "sform-qform-disagree"
    assert f"lie up to {apart:.1f} mm apart" in flag.text
    assert "sform (RAS) and qform (RAS)" in flag.text


@pytest.mark.parametrize(("shift_mm", "count"), [(0.4, 0), (0.6, 1)])
def test_forms_that_differ_by_less_than_half_a_millimetre_agree(shift_mm: float, count: int) -> None:
    moved = _turned(0, 0, 0)
    moved[0, 3] += shift_mm
    assert len(_read(_raw(sform=moved, qform=_turned(0, 0, 0)))[2]) == count


def test_the_distance_of_two_forms_is_the_greatest_of_any_corner() -> None:
    qform = np.diag([1.0, 1.0, 1.0, 1.0])
    sform = np.diag([1.005, 1.0, 1.0, 1.0])
    qform[0, 3], sform[0, 3] = 0.0, -0.805  # 0.8 mm at the first voxel, 0.7 mm at the last
    flags = _read(_raw(sform=sform, qform=qform, pixdim=[1] * 8))[2]
    assert "lie up to 0.8 mm apart" in flags[0].text


def test_more_than_one_frame_changes_nothing() -> None:
    for raw in (_raw(sform=_turned(0, 0, 5), qform=_turned(0, 0, 0)), _raw(sform=_turned(0, 0, 5))):
        flags: list[Flag] = []
        affine, _ = find_affine(raw, (*_SHAPE, 4), flags, None)
        assert np.allclose(affine, _turned(0, 0, 5))
        assert [(flag.code, flag.text) for flag in flags] == [(flag.code, flag.text) for flag in _read(raw)[2]]
    flags = []
    assert np.allclose(find_affine(_raw(), (*_SHAPE, 4), flags, "RAS")[0], _read(_raw(), "RAS")[0])


def test_a_handedness_of_zero_is_that_of_one() -> None:
    raw = _raw(qform=_turned(10, 20, 30))
    raw["pixdim"][0] = 0
    assert np.allclose(_read(raw)[0], _turned(10, 20, 30), atol=1e-5)


def test_forms_that_disagree_on_left_and_right_are_refused() -> None:
    with pytest.raises(BadData, match=r"LAS \(sform\) or RAS \(qform\) is given twice, and left and right disagree"):
        _read(_raw(sform=np.diag([-1, 1, 1, 1]) @ _turned(0, 0, 0), qform=_turned(0, 0, 0)))
    swapped = np.eye(4)[[2, 1, 0, 3]]  # left and right are along another axis of the image
    with pytest.raises(BadData, match=r"RAS \(sform\) or SAR \(qform\) is given twice, and left and right disagree"):
        _read(_raw(sform=np.eye(4), qform=swapped, pixdim=[-1, 1, 1, 1, 0, 0, 0, 0]))


def _quaternion(b: float, c: float) -> dict[str, float]:
    return {"qform_code": 1, "quatern_b": b, "quatern_c": c}


@pytest.mark.parametrize("c", [0.8, 0.80004])
def test_a_quaternion_may_be_longer_than_one_by_rounding(c: float) -> None:
    affine, spaces, flags = _read(_raw(**_quaternion(0.6, c)))
    turn = affine[:3, :3] / _STEPS
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-3)
    assert spaces is not None
    assert flags == []


@pytest.mark.parametrize("c", [0.81, 1.2])
def test_a_longer_quaternion_is_no_rotation(c: float) -> None:
    with pytest.raises(BadData, match="quaternion .* is longer than 1"):
        _read(_raw(**_quaternion(0.6, c)))
    affine, spaces, flags = _read(_raw(sform=_turned(0, 0, 0), **_quaternion(0.6, c)))
    assert np.allclose(affine, _turned(0, 0, 0))
    assert spaces is None  # a header that keeps such a form would be refused
    assert [flag.code for flag in flags] == ["qform-invalid"]


def test_an_sform_alone_has_no_flag() -> None:
    affine, spaces, flags = _read(_raw(sform=_turned(3, 4, 5)))
    assert np.allclose(affine, _turned(3, 4, 5))
    assert spaces is not None
    assert flags == []


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((0, 1.5, 2), "is not a step per axis"),
        ((np.nan, 1.5, 2), "is not a step per axis"),
        ((1.0, 1.5, 2.03), r"of 1 x 1.5 x 2.03 mm \(pixdim\) or 1 x 1.5 x 2 mm \(sform\) is given twice"),
        ((1.03, 1.5, 2), "is given twice and disagrees"),
    ],
)
def test_steps_that_cannot_be_are_refused(steps: tuple[float, ...], message: str) -> None:
    with pytest.raises(BadData, match=message):
        _read(_raw(sform=_turned(0, 0, 0), pixdim=[1, *steps, 0, 0, 0, 0]))


def test_steps_may_be_rounded_to_a_hundredth_of_the_longest() -> None:
    assert _read(_raw(sform=_turned(0, 0, 0), pixdim=[1, 1.019, 1.5, 2, 0, 0, 0, 0]))[2] == []


def test_negative_steps_are_flagged_and_the_forms_not_kept() -> None:
    affine, spaces, flags = _read(_raw(sform=_turned(0, 0, 0), pixdim=[1, -1.0, 1.5, 2, 0, 0, 0, 0]))
    assert np.allclose(affine, _turned(0, 0, 0))
    assert spaces is None
    assert [flag.code for flag in flags] == ["pixdim-negative"]


@pytest.mark.parametrize(
    ("units", "factor", "name"), [(0, 1, ""), (2, 1, ""), (1, 1000, "metres"), (3, 0.001, "micro")]
)
def test_lengths_become_millimetres(units: int, factor: float, name: str) -> None:
    scale = np.diag([1 / factor] * 3 + [1])
    raw = _raw(sform=scale @ _turned(0, 0, 0), xyzt_units=units | 8)
    raw["pixdim"][1:4] = np.array(_STEPS) / factor
    affine, spaces, flags = _read(raw)
    assert np.allclose(affine, _turned(0, 0, 0), rtol=1e-5)
    assert spaces is not None
    assert spaces.units == units
    assert [flag.code for flag in flags] == (["units-converted"] if name else [])
    assert all(f"in {name}" in flag.text for flag in flags)


def test_an_orientation_is_never_guessed() -> None:
    with pytest.raises(BadData, match="do not say where left and right are"):
        _read(_raw())


@pytest.mark.parametrize(
    ("letters", "columns"),
    [
        ("RAS", [(0, 1), (1, 1), (2, 1)]),
        ("LPI", [(0, -1), (1, -1), (2, -1)]),
        ("asr", [(1, 1), (2, 1), (0, 1)]),
        ("ILA", [(2, -1), (0, -1), (1, 1)]),
    ],
)
def test_an_assumed_orientation_puts_the_middle_at_the_origin(letters: str, columns: list[tuple[int, int]]) -> None:
    affine, spaces, flags = _read(_raw(), letters)
    for column, (row, sign) in enumerate(columns):
        expected = np.zeros(4)
        expected[row] = sign * _STEPS[column]
        assert np.allclose(affine[:, column], expected)
    assert np.allclose(affine @ [5, 10, 15, 1], [0, 0, 0, 1])
    assert spaces is None
    assert [flag.code for flag in flags] == ["orientation-assumed"]
    assert letters.upper() in flags[0].text


@pytest.mark.parametrize("letters", ["", "RA", "RAR", "RAX", "RASL", "LRS"])
def test_letters_that_are_not_three_axes_are_refused(letters: str) -> None:
    with pytest.raises(UsageError, match="does not name three different axes"):
        _read(_raw(), letters)


def _plausible(affine: np.ndarray) -> list[Flag]:
    flags: list[Flag] = []
    check_plausible(affine, _SHAPE, flags)
    return flags


@pytest.mark.parametrize(
    ("steps", "ok"), [((0.01, 1, 1), True), ((1, 1, 100.0), True), ((0.0099, 1, 1), False), ((1, 1, 100.1), False)]
)
def test_voxels_between_a_hundredth_of_a_millimetre_and_ten_centimetres(steps: tuple[float, ...], ok: bool) -> None:
    if ok:
        assert _plausible(np.diag([*steps, 1.0])) == []
    else:
        with pytest.raises(BadData, match="is not between 0.01 and 100 mm"):
            _plausible(np.diag([*steps, 1.0]))


@pytest.mark.parametrize(("degrees", "ok"), [(29.0, True), (31.0, False)])
def test_a_shear_of_thirty_degrees_is_refused(degrees: float, ok: bool) -> None:
    angle = np.deg2rad(degrees)
    sheared = np.eye(4)
    sheared[:2, 1] = np.sin(angle), np.cos(angle)
    if ok:
        assert _plausible(sheared) == []
    else:
        with pytest.raises(BadData, match="off a right one by 31 degrees is a shear"):
            _plausible(sheared)


@pytest.mark.parametrize("flip", [1, -1])
def test_an_image_far_from_the_origin_is_flagged(flip: int) -> None:
    for distance_mm, codes in ((1999.0, []), (2001.0, ["origin-far"])):
        affine = np.eye(4)
        affine[0, 0] = flip
        affine[:3, 3] = flip * (distance_mm - 5), -10, -15  # the middle voxel lies at the distance
        flags = _plausible(affine)
        assert [flag.code for flag in flags] == codes
        assert all("lies 2.0 m from" in flag.text for flag in flags)
