"""When two instances of one UID are the same image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from insula.serve.dicom.contents import contents, same_contents
from io_series import enhanced, sample, save
from serve.dicom.instances import image, other_pixel


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless]
)
def test_packing_does_not_count(syntax: UID, tmp_path: Path) -> None:
    plain, packed = image(tmp_path / "a"), image(tmp_path / "b", syntax=syntax)
    assert plain.read_bytes() != packed.read_bytes()
    assert same_contents(plain, packed.read_bytes())


def test_what_else_is_said_does_not_count(tmp_path: Path) -> None:
    def rename(data: Dataset) -> None:
        data.PatientName, data.SeriesDescription = "C^D", "corrected"

    assert contents(image(tmp_path / "a")) == contents(image(tmp_path / "b", rename))


@pytest.mark.parametrize(
    "change",
    [
        other_pixel,
        lambda data: setattr(data, "ImagePositionPatient", [0, 0, 1]),
        lambda data: setattr(data, "ImageOrientationPatient", [1, 0, 0, 0, 0, -1]),
        lambda data: setattr(data, "PixelSpacing", [1, 1]),
        lambda data: setattr(data, "RescaleSlope", "2"),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_pixels_and_place_count(change: Callable[[Dataset], Any], syntax: UID, tmp_path: Path) -> None:
    assert not same_contents(image(tmp_path / "a"), image(tmp_path / "b", change, syntax).read_bytes())


def test_frames_count(tmp_path: Path) -> None:
    whole = enhanced(sample(), tmp_path / "a")
    data = dcmread(whole)
    data.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 0]
    assert not same_contents(whole, save(data, tmp_path / "b").read_bytes())
    assert same_contents(whole, save(dcmread(whole), tmp_path / "c").read_bytes())


def test_what_cannot_be_read_is_compared_as_it_is(tmp_path: Path) -> None:
    raw = image(tmp_path / "a").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        at = int(rng.integers(132, len(raw)))
        damaged = raw[:at] if rng.random() < 0.3 else raw[:at] + bytes([int(rng.integers(256))]) + raw[at + 1 :]
        assert len(contents(damaged)) == 64
    assert contents(b"") != contents(b"\0")
