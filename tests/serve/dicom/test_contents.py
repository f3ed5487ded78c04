"""When two instances of one UID are the same image; and what is kept apart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
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
from insula.serve.dicom.receive import Receiver
from io_series import enhanced, header, sample, save, with_pixels

MR = "1.2.840.10008.5.1.4.1.1.4"


def image(path: Path, change: Callable[[Dataset], Any] = lambda _: None, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """A slice that was changed before it was stored."""
    packed = syntax in (RLELossless, JPEGLSLossless)
    data = with_pixels(header(0), sample()[:, :, 0], ExplicitVRLittleEndian if packed else syntax)
    change(data)
    if packed:
        data.compress(syntax, generate_instance_uid=False)
    return save(data, path)


def _pixel(data: Dataset) -> None:
    data.PixelData = bytes([data.PixelData[0] ^ 1]) + data.PixelData[1:]


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless]
)
def test_packing_does_not_count(syntax: UID, tmp_path: Path) -> None:
    one, other = image(tmp_path / "a"), image(tmp_path / "b", syntax=syntax)
    assert one.read_bytes() != other.read_bytes()
    assert same_contents(one, other.read_bytes())


def test_what_else_is_said_does_not_count(tmp_path: Path) -> None:
    def rename(data: Dataset) -> None:
        data.PatientName, data.SeriesDescription = "C^D", "corrected"

    assert contents(image(tmp_path / "a")) == contents(image(tmp_path / "b", rename))


@pytest.mark.parametrize(
    "change",
    [
        _pixel,
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


def _send(receiver: Receiver, path: Path, title: str = "SCANNER") -> int:
    event: Any = SimpleNamespace(
        dataset=dcmread(path),
        encoded_dataset=path.read_bytes,
        context=SimpleNamespace(abstract_syntax=MR),
        assoc=SimpleNamespace(requestor=SimpleNamespace(ae_title=title)),
    )
    return receiver.store(event)


def test_an_image_that_comes_again_keeps_its_pixels(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "received")
    assert _send(receiver, image(tmp_path / "a")) == 0
    (kept,) = (tmp_path / "received").rglob("*.dcm")
    before = kept.read_bytes()
    assert _send(receiver, image(tmp_path / "b", _pixel)) == 0x0111
    assert kept.read_bytes() == before
    assert _send(receiver, image(tmp_path / "c", syntax=RLELossless)) == 0


def test_a_series_with_other_pixels_is_another_job_once_the_first_is_forgotten(tmp_path: Path) -> None:
    digests = []
    for number, change in enumerate((lambda _: None, _pixel)):
        receiver = Receiver(tmp_path / f"received{number}")
        _send(receiver, image(tmp_path / f"{number}", change))
        (study,) = receiver.complete(0)
        digests.append(study.new[0].digest)
    assert digests[0] != digests[1]


def test_two_patients_with_one_series_uid_are_two_studies(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "received")
    _send(receiver, image(tmp_path / "a"))
    assert _send(receiver, image(tmp_path / "b", lambda data: (setattr(data, "PatientID", "P2"), _pixel(data)))) == 0
    studies = list(receiver.complete(0))
    assert [len(study.every) for study in studies] == [1, 1]
    assert studies[0].new[0].digest != studies[1].new[0].digest


def test_a_study_is_complete_when_all_of_it_is(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "received")
    for name, number in (("a", 3), ("b", 4)):
        _send(receiver, image(tmp_path / name, lambda data, n=number: setattr(data, "SeriesInstanceUID", f"1.2.{n}")))
    old, new = sorted((tmp_path / "received").rglob("*.dcm"))
    os.utime(old, (time.time() - 100, time.time() - 100))
    assert list(receiver.complete(50)) == []
    os.utime(new, (time.time() - 60, time.time() - 60))
    (study,) = receiver.complete(50)
    assert len(study.new) == len(study.every) == 2
    receiver.take(study.new[0])
    (study,) = receiver.complete(50)
    assert (len(study.new), len(study.every)) == (1, 2)
    assert study.new[0].caller == "SCANNER"


def test_what_an_earlier_version_received_goes_on(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "received")
    _send(receiver, image(tmp_path / "a"))
    (about,) = (tmp_path / "received").rglob(".about.json")
    about.unlink()
    (study,) = receiver.complete(0)
    assert (len(study.new), study.new[0].caller) == (1, "")
