"""A zip gives its images and nothing else."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from insula.errors import BadData, TooLarge
from insula.io.dicom import read_dicom, unpack
from io_series import sample, write_series


def _zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in folder.iterdir():
            packed.write(file, f"study/{file.name}")
    return path


def test_a_zip_is_read_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    packed = _zip(write_series(tmp_path / "in"), tmp_path / "a.zip")
    assert np.array_equal(read_dicom(packed).scan.image, sample())
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_members_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(name, b"x")
    (tmp_path / "out").mkdir()
    with pytest.raises(BadData, match="leads out"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_links_bombs_crowds_and_damage_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as packed:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(BadData, match="has a link"):
        unpack(tmp_path / "link.zip", out)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a", bytes(50_000_000))
    with pytest.raises(BadData, match="would unpack to 50,000,000"):
        unpack(tmp_path / "bomb.zip", out)
    monkeypatch.setattr("insula.io.dicom.gather._MOST_MEMBERS", 3)
    with zipfile.ZipFile(tmp_path / "crowd.zip", "w") as packed:
        for number in range(4):
            packed.writestr(str(number), b"x")
    with pytest.raises(BadData, match="of 4 members has too many"):
        unpack(tmp_path / "crowd.zip", out)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        packed.writestr("a", bytes(range(256)) * 40)
    for name, damaged in (("cut", whole.getvalue()[:200]), ("flipped", _flipped(whole.getvalue()))):
        (tmp_path / f"{name}.zip").write_bytes(damaged)
        with pytest.raises(BadData, match="is damaged"):
            unpack(tmp_path / f"{name}.zip", out)


def _flipped(data: bytes) -> bytes:
    return data[:500] + bytes([data[500] ^ 1]) + data[501:]


def test_a_zip_that_lies_about_its_size_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insula.io.dicom.gather._MOST_BYTES", 1000)
    monkeypatch.setattr("insula.io.dicom.gather._check", lambda _: None)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("a", bytes(5000))
    with pytest.raises(BadData, match="unpacks to more"):
        unpack(tmp_path / "a.zip", tmp_path)


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    """The flag of a password is set by hand, in the member's header and in the central directory."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        packed.writestr("a", b"secret")
    data = bytearray(whole.getvalue())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(BadData, match="is encrypted, or compressed by an unknown method; make it again, without"):
        unpack(tmp_path / "a.zip", tmp_path)


def test_a_list_of_members_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for number in range(40):
            packed.writestr(f"{number:03d}", b"x")
    monkeypatch.setattr("insula.io.dicom.gather._MOST_DIRECTORY", 40 * 49)
    unpack(tmp_path / "a.zip", tmp_path)
    monkeypatch.setattr("insula.io.dicom.gather._MOST_DIRECTORY", 40 * 49 - 1)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(TooLarge, match="of 40 members or more has too many"):
        unpack(tmp_path / "a.zip", tmp_path)
