"""A zip gives its images and nothing else."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from insula.errors import BadData, TooLarge
from insula.io.dicom import is_archive, read_dicom, unpack
from insula.io.dicom.gather import gather_files
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


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_called_so_however_it_is_compressed(method: int, tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as packed:
        packed.writestr("a", bytes(range(256)) * 4000)
    data = bytearray(whole.getvalue())
    data[60:90] = bytes(byte ^ 0x5A for byte in data[60:90])
    _refused_as_damaged(tmp_path, data)


def test_a_directory_that_begins_before_the_file_is_damaged(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        packed.writestr("a", b"x")
    data = bytearray(whole.getvalue())
    end = data.rfind(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<I", 10_000)  # the directory's length
    _refused_as_damaged(tmp_path, data)


def _refused_as_damaged(folder: Path, data: bytes) -> None:
    (folder / "a.zip").write_bytes(data)
    with pytest.raises(BadData, match="is damaged"):
        unpack(folder / "a.zip", folder)


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


def _ended(path: Path, length: int, *, long: int | None = None, comment: bytes = b"", before: int = 0) -> Path:
    """The end of a zip whose list of members has this length, given as in Zip64 if it is `long`."""
    content = bytes(before)
    if long is not None:
        content += b"PK\x06\x06" * 2 + bytes(36) + struct.pack("<Q", long) + b"\xff" * 8  # the last record counts
    end = struct.pack("<HHHHIIH", 0, 0, 7, 7, length, 0, len(comment))
    path.write_bytes(content + b"PK\x05\x06" + end + comment)
    return path


@pytest.mark.parametrize("before", [0, 1 << 17])
@pytest.mark.parametrize("comment", [b"", b"c" * 65_535])
def test_the_length_of_the_list_is_found_however_long_the_comment_is(
    comment: bytes, before: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    _ended(path, (20 << 20) + 1, comment=comment, before=before)
    with pytest.raises(TooLarge, match="of 7 members or more has too many"):
        unpack(path, tmp_path)
    _ended(path, 20 << 20, comment=comment, before=before)
    with pytest.raises(BadData, match="is damaged"):  # of a good length, but it is not there
        unpack(path, tmp_path)


def test_the_length_of_a_list_in_zip64_is_checked(tmp_path: Path) -> None:
    path, filled = tmp_path / "a.zip", 21 << 20
    _ended(path, 0xFFFFFFFF, long=(20 << 20) + 1, before=filled)
    with pytest.raises(TooLarge, match="with a list of 20,971,521 bytes has too many members"):
        unpack(path, tmp_path)
    for long, before in ((20 << 20, filled), ((20 << 20) + 1, 0), (None, filled)):
        _ended(path, 0xFFFFFFFF, long=long, before=before)
        with pytest.raises(BadData, match="is damaged"):
            unpack(path, tmp_path)


def test_a_zip_may_unpack_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insula.io.dicom.gather._MOST_BYTES", 5000)
    for size in (5000, 5001):
        with zipfile.ZipFile(tmp_path / f"{size}.zip", "w") as packed:
            packed.writestr("folder/", b"")
            packed.writestr("folder/a", bytes(size - 1))
            packed.writestr("b", b"b")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "5000.zip", tmp_path / "out")
    assert {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()} == {"000000": 4999, "000001": 1}
    with pytest.raises(BadData, match="would unpack to 5,001"):
        unpack(tmp_path / "5001.zip", tmp_path / "out")


def _refuse(*_: object) -> None:
    raise PermissionError


def test_a_zip_is_known_by_its_first_bytes_or_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (name, content, known) in enumerate(
        [
            ("a", b"PK\x03\x04", True),
            ("a", b"PK\x05\x06", True),
            ("a.ZIP", b"text", True),
            ("a", b"text", False),
            ("a", b"", False),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_bytes(content)
        assert is_archive(folder / name) is known
    monkeypatch.setattr("insula.io.dicom.gather.open", _refuse, raising=False)
    assert not is_archive(tmp_path / "0" / "a")  # a file that cannot be read
    (tmp_path / "folder.zip").mkdir()
    assert not is_archive(tmp_path / "folder.zip")
    assert not is_archive(tmp_path / "nowhere.zip")


def test_hidden_files_and_folders_are_skipped_and_the_others_are_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/10", "a/x", ".git/1", "b/.hidden", "b/.more/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert gather_files([tmp_path]) == [tmp_path / name for name in ("a/x", "b/10", "b/2")]
    named = tmp_path / "b" / ".hidden"
    assert gather_files([named, tmp_path / "a"]) == [named, tmp_path / "a" / "x"]  # named, it is read
