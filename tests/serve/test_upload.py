from __future__ import annotations

import asyncio
import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from insula.errors import BadData, TooLarge
from insula.serve.upload import TooSlow, Unknown, receive, recognise


async def _pieces(*pieces: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(pause)
        yield piece


def _receive(path: Path, *pieces: bytes, pause: float = 0.0) -> tuple[str, int]:
    got = asyncio.run(receive(_pieces(*pieces, pause=pause), path, most_bytes=10, pause_seconds=0.2))
    return got.sha256, got.bytes


def test_what_comes_is_on_the_disk(tmp_path: Path) -> None:
    assert _receive(tmp_path / "a", b"one", b"two") == (hashlib.sha256(b"onetwo").hexdigest(), 6)
    assert (tmp_path / "a").read_bytes() == b"onetwo"


def test_too_much_is_refused_before_the_rest_comes(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        _receive(tmp_path / "a", b"0123456789", b"x", b"never written")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_pause_and_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TooSlow, match="paused"):
        _receive(tmp_path / "a", b"x", pause=0.5)
    with pytest.raises(BadData, match="empty"):
        _receive(tmp_path / "a")


def _zip(*names: str, data: bytes = b"x", link: bool = False) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if link:
                info.external_attr = 0o120777 << 16
            archive.writestr(info, data)
    return packed.getvalue()


def _tar(*names: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(data), "/etc/passwd"
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


_HEAD = (348).to_bytes(4, "little") + bytes(344)


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (_HEAD, ".nii"),
        ((540).to_bytes(4, "big") + bytes(536), ".nii"),
        (gzip.compress(_HEAD, mtime=0), ".nii.gz"),
        (_zip("a.dcm", "b/c.dcm"), ".zip"),
        (bytes(128) + b"DICM", ".dcm"),
        (_zip("MR 3: t1/a", "b\\c"), ".zip"),
        (bz2.compress(_HEAD), ".nii.bz2"),
        (lzma.compress(_HEAD), ".nii.xz"),
        (gzip.compress(gzip.compress(_HEAD, mtime=0), mtime=0), ".nii.gz.gz"),
        (_tar("a", "b/c: d"), ".tar"),
        (gzip.compress(_tar("a"), mtime=0), ".tar"),
        (bz2.compress(_tar("a")), ".tar"),
        (lzma.compress(_tar("a")), ".tar"),
        (gzip.compress(bytes(128) + b"DICM", mtime=0), ".dcm"),
    ],
)
def test_known_kinds(tmp_path: Path, data: bytes, ending: str) -> None:
    (tmp_path / "a").write_bytes(data)
    assert recognise(tmp_path / "a") == ending


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"%PDF-1.7",
        _zip("a/scan.nii.gz"),
        _tar("a/scan.NII"),
        bz2.compress(_tar("scan.nii.xz")),
        bz2.compress(b"hello"),
        gzip.compress(b"hello", mtime=0),
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        bytes(500),
    ],
)
def test_unknown_kinds(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(Unknown):
        recognise(tmp_path / "a")


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(_HEAD, mtime=0)[:9],
        b"\x1f\x8bxx",
        b"\x1f\x8b\x08\x08" + bytes(6) + b"A" * 200_000,
        b"PK\x03\x04rest",
        _zip("a")[:-10],
        _zip("../a"),
        _zip("a/../../b"),
        _zip("/etc/a"),
        _zip("C:\\a"),
        _zip("a", link=True),
        _tar("../a"),
        _tar("/a"),
        gzip.compress(_tar("c:/a"), mtime=0),
        lzma.compress(_tar("a", kind=tarfile.SYMTYPE)),
        gzip.compress(_tar("a"), mtime=0)[:-5],
        _tar("a")[:600],
    ],
)
def test_damaged_and_hostile_ones(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(BadData):
        recognise(tmp_path / "a")


def test_a_list_of_members_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    end = b"PK\x05\x06" + bytes(4) + b"\xff\xff\xff\xff" + (30 << 20).to_bytes(4, "little") + bytes(6)
    (tmp_path / "a").write_bytes(b"PK\x03\x04" + bytes(1000) + end)
    with pytest.raises(TooLarge, match="too many"):
        recognise(tmp_path / "a")


def test_bombs_are_too_large(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(_zip("a", data=bytes(50 << 20)))
    with pytest.raises(TooLarge, match="would unpack"):
        recognise(tmp_path / "a")
    (tmp_path / "a").write_bytes(gzip.compress(_tar("a", data=bytes(50 << 20)), mtime=0))
    with pytest.raises(TooLarge, match="would unpack"):
        recognise(tmp_path / "a")


@pytest.mark.long
def test_a_crowd_of_files_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(_zip(*(f"{n}" for n in range(100_001)), data=b""))
    with pytest.raises(TooLarge, match="too many"):
        recognise(tmp_path / "b")


def test_a_byte_every_now_and_then_is_no_upload(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(TooSlow, match="less than 10 kB a second"):
        _receive(tmp_path / "a", *[b"x"] * 10, pause=0.1)
    assert time.monotonic() - begun < 5
    pieces = [bytes(2000)] * 8  # 20 kB a second
    got = asyncio.run(receive(_pieces(*pieces, pause=0.1), tmp_path / "a", most_bytes=10**6, pause_seconds=0.5))
    assert got.bytes == 16_000
    coming = _pieces(*pieces, pause=0.1)
    with pytest.raises(TooSlow, match="longer than 0.01 minutes"):
        asyncio.run(receive(coming, tmp_path / "a", most_bytes=10**6, pause_seconds=5, total_seconds=0.6))
