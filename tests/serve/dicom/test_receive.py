"""What a receiver keeps, when a study is complete, and when it is deleted, whatever the wall clock shows."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from insula.serve.dicom.receive import Receiver
from serve.dicom.instances import image, other_pixel, send

_DAY = 25 * 3600.0


class _Clocks:
    """Both clocks of the machine, which time itself does not move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.steady = time.time(), time.monotonic()
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic", lambda: self.steady)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> _Clocks:
    return _Clocks(monkeypatch)


def test_an_image_that_comes_again_keeps_itsother_pixels(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "received")
    assert send(receiver, image(tmp_path / "a")) == 0
    (kept,) = (tmp_path / "received").rglob("*.dcm")
    before = kept.read_bytes()
    assert send(receiver, image(tmp_path / "b", other_pixel)) == 0x0111
    assert kept.read_bytes() == before
    assert send(receiver, image(tmp_path / "c", syntax=RLELossless)) == 0


def test_a_series_with_otherother_pixels_is_another_job_once_the_first_is_forgotten(tmp_path: Path) -> None:
    digests = []
    for number, change in enumerate((lambda _: None, other_pixel)):
        receiver = Receiver(tmp_path / f"received{number}")
        send(receiver, image(tmp_path / f"{number}", change))
        (study,) = receiver.complete(0)
        digests.append(study.new[0].digest)
    assert digests[0] != digests[1]


def test_two_patients_with_one_series_uid_are_two_studies(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "received")
    send(receiver, image(tmp_path / "a"))
    assert (
        send(receiver, image(tmp_path / "b", lambda data: (setattr(data, "PatientID", "P2"), other_pixel(data)))) == 0
    )
    studies = list(receiver.complete(0))
    assert [len(study.every) for study in studies] == [1, 1]
    assert studies[0].new[0].digest != studies[1].new[0].digest


def test_a_study_is_complete_when_all_of_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver(tmp_path / "received")
    for name, number in (("a", 3), ("b", 4)):
        send(receiver, image(tmp_path / name, lambda data, n=number: setattr(data, "SeriesInstanceUID", f"1.2.{n}")))
    assert list(receiver.complete(50)) == []
    started = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: started + 60)
    (study,) = receiver.complete(50)
    assert len(study.new) == len(study.every) == 2
    receiver.take(study.new[0])
    (study,) = receiver.complete(50)
    assert (len(study.new), len(study.every)) == (1, 2)
    assert study.new[0].caller == "SCANNER"


def test_what_an_earlier_version_received_goes_on(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "received")
    send(receiver, image(tmp_path / "a"))
    (about,) = (tmp_path / "received").rglob(".about.json")
    about.unlink()
    (study,) = receiver.complete(0)
    assert (len(study.new), study.new[0].caller) == (1, "")


@pytest.mark.parametrize("jump", [_DAY, -_DAY])
def test_a_clock_that_jumps_neither_completes_nor_deletes_nor_keeps(
    jump: float, clocks: _Clocks, tmp_path: Path
) -> None:
    receiver = Receiver(tmp_path / "received")
    send(receiver, image(tmp_path / "a"))
    clocks.wall += jump
    receiver.forget(3600)
    assert list(receiver.complete(50)) == []
    clocks.steady += 60
    (study,) = receiver.complete(50)
    receiver.take(study.new[0])
    clocks.steady += 3000
    receiver.forget(3600)
    assert list((tmp_path / "received").iterdir())
    clocks.steady += 600
    receiver.forget(3600)
    assert not list((tmp_path / "received").iterdir())


@pytest.mark.parametrize("jump", [_DAY, -_DAY])
def test_after_a_restart_no_clock_loses_a_series_that_was_not_taken(
    jump: float, clocks: _Clocks, tmp_path: Path
) -> None:
    send(Receiver(tmp_path / "received"), image(tmp_path / "a"))
    clocks.wall += jump
    receiver = Receiver(tmp_path / "received")
    receiver.forget(3600)
    assert list(receiver.complete(50)) == [], "more slices may come"
    clocks.steady += 60
    (study,) = receiver.complete(50)
    assert len(study.new) == 1


@pytest.mark.parametrize(("age", "kept_for"), [(7200, 0), (3000, 600), (-_DAY, 3600)])
def test_after_a_restart_a_series_that_was_taken_ages_on(
    age: float, kept_for: float, clocks: _Clocks, tmp_path: Path
) -> None:
    first = Receiver(tmp_path / "received")
    send(first, image(tmp_path / "a"))
    (kept,) = (tmp_path / "received").rglob("*.dcm")
    os.utime(kept, (clocks.wall - age, clocks.wall - age))
    (study,) = first.complete(0)
    first.take(study.new[0])
    receiver = Receiver(tmp_path / "received")
    if kept_for:
        receiver.forget(3600)
        clocks.steady += kept_for - 1
        receiver.forget(3600)
        assert kept.exists()
        clocks.steady += 2
    receiver.forget(3600)
    assert not kept.exists()


def test_a_deflated_image_that_inflates_without_end_is_not_kept(tmp_path: Path) -> None:
    raw = image(tmp_path / "a", syntax=DeflatedExplicitVRLittleEndian).read_bytes()
    start = 144 + int.from_bytes(raw[140:144], "little")
    stream, length = zlib.compressobj(9, wbits=-15), 100 << 20
    bomb = stream.compress(zlib.decompress(raw[start:], -15) + b"\xfe\x7f\x10\x00OB\0\0" + length.to_bytes(4, "little"))
    bomb += b"".join(stream.compress(bytes(1 << 20)) for _ in range(100)) + stream.flush()
    (tmp_path / "b").write_bytes(raw[:start] + bomb)
    receiver = Receiver(tmp_path / "received")
    assert send(receiver, tmp_path / "b") == 0xC000
    assert list((tmp_path / "received").iterdir()) == []
