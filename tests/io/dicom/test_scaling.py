"""A slope or intercept that does not fit those of the neighbouring slices is flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from insula.io.dicom import read_dicom
from insula.io.dicom.scaling import doubt_scaling
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
from io_series import sample, write_series

_HEAD = np.round(phantom_case(phantom_grid(spacing_mm=(6.0,) * 3)).scan.image).astype(np.uint16)


def _texts(stored: list[float], slopes: dict[int, float], *, size: int = 4) -> list[str]:
    """Texts of the flags for slices that are evenly bright as stored and have slopes."""
    scales = [(slopes.get(k, 1.0), 0.0) for k in range(len(stored))]
    levels = np.array([value * slope for value, (slope, _) in zip(stored, scales, strict=True)])
    flags = doubt_scaling(np.broadcast_to(levels, (size, size, len(stored))).copy(), scales)
    assert {flag.code for flag in flags} <= {"slice-scaling-odd"}
    return [flag.text.split(", because")[0] for flag in flags]


_EVEN = [100.0] * 12
_STRIPED = [100.0, 110.0] * 6
_STEP = [*[100.0] * 5, 110.0, *[100.0] * 6]


@pytest.mark.parametrize(
    ("stored", "slopes", "texts"),
    [
        (_EVEN, {}, []),
        (_EVEN, {5: 3.0}, ["Slice 6 stands out, 3 times as bright"]),
        (_EVEN, {5: 0.3, 6: 0.3}, ["Slices 6 to 7 stand out, 0.3 times as bright"]),
        (_EVEN, {5: 1.5}, ["Slice 6 stands out, 1.5 times as bright"]),
        (_EVEN, {5: -1.0}, ["Slice 6 stands out"]),
        ([0.2] * 12, {5: 3.0}, ["Slice 6 stands out, 3 times as bright"]),
        (_EVEN, {5: 0.0}, []),
        # a jump of less than a tenth of the brightness
        (_EVEN, {5: 1.1}, []),
        (_EVEN, {5: 1.11}, ["Slice 6 stands out, 1.11 times as bright"]),
        # the stored values jump too
        (_STEP, {5: 1.1}, []),
        (_STEP, {5: 1.3}, ["Slice 6 stands out, 1.43 times as bright"]),
        ([*[100.0] * 11, 110.0], {11: 1.1}, []),
        ([110.0, *[100.0] * 11], {0: 1.1}, []),
        # all slices have slopes
        (_EVEN, dict.fromkeys(range(12), 2.0) | {5: 6.0}, ["Slice 6 stands out, 3 times as bright"]),
        # all slices jump
        (_STRIPED, {5: 1.15}, []),
        (_STRIPED, {5: 1.5}, ["Slice 6 stands out, 1.65 times as bright"]),
        # a slice next to the neighbour does not matter
        ([*[100.0] * 3, 50.0, *[100.0] * 8], {5: 0.7}, ["Slice 6 stands out, 0.7 times as bright"]),
        ([*[100.0] * 7, 50.0, *[100.0] * 4], {5: 0.7}, ["Slice 6 stands out, 0.7 times as bright"]),
        # at the ends
        (_EVEN, {0: 3.0}, ["Slice 1 stands out, 3 times as bright"]),
        (_EVEN, {0: 0.3}, []),
        (_EVEN, {11: 3.0}, ["Slice 12 stands out, 3 times as bright"]),
        (_EVEN, {11: 0.3}, []),
        (_EVEN, {0: 3.0, 11: 2.0}, [f"Slice {n} stands out, {m} times as bright" for n, m in ((1, 3), (12, 2))]),
        (_EVEN, {0: 3.0, 5: 3.0}, ["Slice 6 stands out, 3 times as bright"]),
        # halves of different scalings have no shorter part
        (_EVEN, dict.fromkeys(range(6), 3.0), ["Slices 1 to 6 stand out, 3 times as bright"]),
        (_EVEN, dict.fromkeys(range(5), 3.0), ["Slices 1 to 5 stand out, 3 times as bright"]),
        (_EVEN, dict.fromkeys(range(7), 3.0), []),
        # at most eight
        ([100.0] * 50, dict.fromkeys(range(1, 50, 5), 3.0), [f"Slice {k}" for k in range(2, 42, 5)]),
    ],
)
def test_which_slices_stand_out(stored: list[float], slopes: dict[int, float], texts: list[str]) -> None:
    found = _texts(stored, slopes)
    assert len(found) == len(texts)
    assert all(text == expected or text.startswith(f"{expected} ") for text, expected in zip(found, texts, strict=True))
    assert _texts(stored, slopes, size=300) == found  # of large slices, every second pixel is looked at


def _scaled(folder: Path, slopes: np.ndarray, intercepts: np.ndarray, stored: np.ndarray) -> list[str]:
    def scale(data: Dataset, number: int) -> Dataset:
        data.RescaleSlope, data.RescaleIntercept = f"{slopes[number]:.6g}", f"{intercepts[number]:.6g}"
        return data

    scan = read_dicom(write_series(folder, stored, change=scale)).scan
    return [flag.text for flag in scan.flags if flag.code == "slice-scaling-odd"]


_COUNT = _HEAD.shape[2]


@pytest.mark.parametrize("factor", [3.0, 0.3, *(pytest.param(x, marks=pytest.mark.long) for x in (1.5, -1.0, 10.0))])
@pytest.mark.parametrize("slices", [(4,), (_COUNT // 2,), (_COUNT - 9,), (10, 11), (8, 20)])
def test_a_damaged_slope_is_told_with_its_slice(factor: float, slices: tuple[int, ...], tmp_path: Path) -> None:
    slopes = np.ones(_COUNT)
    slopes[list(slices)] = factor
    message = _scaled(tmp_path, slopes, np.zeros(_COUNT), _HEAD)
    groups = ["Slices 11 to 12"] if slices == (10, 11) else [f"Slice {k + 1} " for k in slices]
    assert len(message) == len(groups)
    assert all(text.startswith(group) for text, group in zip(message, groups, strict=True))


@pytest.mark.parametrize(
    "number", [n if n in (0, 1, 11, 21) else pytest.param(n, marks=pytest.mark.long) for n in range(22)]
)
def test_a_slope_of_three_is_told_in_every_slice(number: int, tmp_path: Path) -> None:
    slopes = np.where(np.arange(22) == number, 3.0, 1.0)
    assert len(_scaled(tmp_path, slopes, np.zeros(22), sample())) == 1


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ((3.0, 0.0), "RescaleSlope (3) differs from that of the neighbouring slices (1): this header value is"),
        ((1.0, 90.0), "RescaleIntercept (90) differs from that of the neighbouring slices (0): this header value is"),
        (
            (3.0, 90.0),
            "RescaleSlope (3) and RescaleIntercept (90) differ from those of the neighbouring slices (1 and 0): these "
            "header values are",
        ),
    ],
)
def test_the_tag_that_differs_is_named_with_its_values(own: tuple[float, float], why: str) -> None:
    for place in (5, 0):
        scales = [own if k == place else (1.0, 0.0) for k in range(12)]
        levels = np.array([100 * slope + intercept for slope, intercept in scales])
        (flag,) = doubt_scaling(np.broadcast_to(levels, (4, 4, 12)).copy(), scales)
        assert flag.text.split(", because ")[1] == f"{why} probably damaged."


def test_a_damaged_intercept_is_told(tmp_path: Path) -> None:
    intercepts = np.where(np.arange(_COUNT) == 12, 900.0, 0.0)
    assert _scaled(tmp_path, np.ones(_COUNT), intercepts, _HEAD)[0].startswith("Slice 13 ")


def test_slopes_of_its_own_for_each_slice_are_no_damage(tmp_path: Path) -> None:
    """As Philips and PET write them: each slice stored over the whole range, or in steps of its own."""
    random = np.random.default_rng(0)
    highest = np.maximum(_HEAD.max(axis=(0, 1)), 1)
    for name, slopes in {
        "each to its maximum": highest / 4095,
        "drawn": random.uniform(0.3, 3, _COUNT),
        "two halves": np.where(np.arange(_COUNT) < _COUNT // 2, 0.5, 2.0),
        "one of another kind": np.where(np.arange(_COUNT) == 12, 0.25, 1.0),
        "the same": np.full(_COUNT, 0.7),
    }.items():
        stored = np.round(_HEAD / slopes).astype(np.uint16)
        assert _scaled(tmp_path / name, slopes, np.zeros(_COUNT), stored) == [], name
