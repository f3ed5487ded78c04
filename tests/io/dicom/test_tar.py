"""A tar gives its images and nothing else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from insula.errors import BadData, TooLarge
from insula.io.dicom import check_archive, is_archive, is_dicom, read_dicom, unpack
from insula.io.dicom.tar import ArchiveLimits, unpack_tar
from io_series import sample, write_series

_PACK: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda data: data,
    "tar.gz": gzip.compress,
    "tgz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "no ending": gzip.compress,
    "tar.gz twice": lambda data: gzip.compress(gzip.compress(data)),
}


def _tar(folder: Path, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as packed:
        packed.add(folder, "study/of a long name that no old header holds" * 3 if form != tarfile.USTAR_FORMAT else "s")
    return out.getvalue()


def _one(name: str = "a", *, kind: bytes = tarfile.REGTYPE, data: bytes = b"x", link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
        packed.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("kind", _PACK)
def test_every_packing_is_read_and_leaves_nothing_behind(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    archive = tmp_path / f"exam.{kind}".removesuffix(".no ending").removesuffix(" twice")
    archive.write_bytes(_PACK[kind](_tar(write_series(tmp_path / "in"))))
    assert is_dicom(archive)
    assert len(check_archive(archive)) == 22
    assert np.array_equal(read_dicom(archive).scan.image, sample())
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_header_is_read(form: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(_tar(write_series(tmp_path / "in"), form))
    assert is_archive(tmp_path / "a")
    assert np.array_equal(read_dicom(tmp_path / "a").scan.image, sample())


@pytest.mark.parametrize("kind", _PACK)
def test_packed_slices_and_folders_in_folders_are_read(kind: str, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in" / "st" / "se: 1")
    for path in folder.iterdir():
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    (tmp_path / "exam.tar").write_bytes(_PACK[kind](_tar(tmp_path / "in")))
    assert np.array_equal(read_dicom(tmp_path / "exam.tar").scan.image, sample())


_OUT = [
    "../evil",
    "/etc/evil",
    "a/../../evil",
    "C:\\evil",
    "c:/evil",
    "..\\evil",
    "\\\\server\\evil",
    "a\\..\\..\\evil",
]
_INSIDE = [
    "MR 3: t1/a",
    "T:1",
    "a/../b",
    "a\\b",
    "a:b:c",
    "..a",
    "a..",
    "nested/in/folders/a",
    "CON",
    "a\nb",
    "é",
    "::",
]


def _zipped(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(name, b"x")
    return out.getvalue()


@pytest.mark.parametrize("pack", [_one, _zipped])
@pytest.mark.parametrize("name", _OUT + _INSIDE)
def test_only_members_that_lead_out_are_refused(name: str, pack: Callable[[str], bytes], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(pack(name))
    (tmp_path / "out").mkdir()
    if name in _OUT:
        for look in (check_archive, lambda archive: unpack(archive, tmp_path / "out")):
            with pytest.raises(BadData, match="leads out"):
                look(tmp_path / "a")
        assert not list((tmp_path / "out").iterdir())
    else:
        unpack(tmp_path / "a", tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["000000"]
    assert {path.name for path in tmp_path.iterdir()} == {"a", "out"}


@pytest.mark.parametrize(
    "pack",
    [
        lambda data: data,
        gzip.compress,
        *(pytest.param(f, marks=pytest.mark.long) for f in (bz2.compress, lzma.compress)),
    ],
)
def test_links_devices_bombs_crowds_and_damage_are_refused(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(content: bytes, message: str, kind: type[BadData] = BadData) -> None:
        (tmp_path / "a.tar").write_bytes(content)
        (tmp_path / "out").mkdir(exist_ok=True)
        for look in (check_archive, lambda archive: unpack(archive, tmp_path / "out")):
            with pytest.raises(kind, match=message):
                look(tmp_path / "a.tar")

    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        refused(pack(_one(kind=kind, link="/etc/passwd")), "has a link")
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE):
        refused(pack(_one(kind=kind)), "members other than files|is damaged")
    whole = _tar(write_series(tmp_path / "in"))
    refused(pack(whole)[: len(pack(whole)) // 2], "ends before its end mark")
    refused(pack(whole)[:100], "ends before its end mark")
    last = len(whole) - len(whole.rstrip(b"\0")) // 1
    refused(pack(whole[: -last // 512 * 512 - 512]), "ends before its end mark")
    for place in range(0, len(whole), 40_000):  # a damaged header in the middle would end it in silence
        header = whole.find(b"ustar", place) - 257
        if header > 0:
            refused(pack(whole[:header] + b"\xff" * 40 + whole[header + 40 :]), "is damaged")
    refused(pack(whole + b"more"), "data after its end mark")
    refused(pack(whole + whole), "data after its end mark")
    if pack(b"") != b"":
        refused(pack(_one(data=bytes(60_000_000))), "would unpack to more than", TooLarge)
        refused(pack(whole) + b"more", "after its end|damaged")
        flipped = bytearray(pack(whole))
        flipped[len(flipped) // 2] ^= 0x40
        refused(bytes(flipped), "is damaged|ends before")
    long = io.BytesIO()
    with tarfile.open(fileobj=long, mode="w", format=tarfile.GNU_FORMAT) as packed:
        packed.addfile(tarfile.TarInfo("n" * 200_000))
    refused(pack(long.getvalue()), "names that are too long", TooLarge)
    monkeypatch.setattr("insula.io.dicom.gather._MOST_MEMBERS", 3)
    refused(pack(whole), "too many", TooLarge)
    monkeypatch.setattr("insula.io.dicom.gather._MOST_MEMBERS", 300)
    monkeypatch.setattr("insula.io.dicom.gather._MOST_BYTES", 10_000)
    refused(pack(whole), "more than|too large", TooLarge)


def test_nifti_in_an_archive_is_named(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)).to_bytes()
    for content in (_one("a.nii", data=image), gzip.compress(_one("b/a.nii.gz", data=gzip.compress(image)))):
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(BadData, match="holds NIfTI and no DICOM.*unpack it"):
            read_dicom(tmp_path / "a.tar")


@pytest.mark.parametrize("name", "a.tar a.tgz a.tar.gz a.tbz a.tbz2 a.tar.bz2 a.txz a.tar.xz A.TAR B.Tar.Gz".split())
def test_a_tar_is_known_by_its_name_although_it_is_damaged(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"text")
    assert is_archive(tmp_path / name)
    with pytest.raises(BadData, match="the tar is damaged"):
        check_archive(tmp_path / name)
    for other in ("a", "atar", "a.gz", "a.tar.zip.txt"):
        (tmp_path / other).write_bytes(b"text")
        assert not is_archive(tmp_path / other)


def _several(*names: str, data: bytes = b"x") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as packed:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _names(content: bytes, folder: Path, **limits: int) -> list[str]:
    (folder / "a.tar").write_bytes(content)
    known = {"members": 100, "bytes": 1 << 20, "ratio": 200}
    return unpack_tar(folder / "a.tar", None, ArchiveLimits(**known | limits))


def test_limits_are_met_exactly(tmp_path: Path) -> None:
    three, four = _several("a", "b", "c"), _several("a", "b", "c", "d")
    assert _names(three, tmp_path, members=1) == ["a", "b", "c"]  # a member may have three headers
    with pytest.raises(TooLarge, match="of 4 headers has too many"):
        _names(four, tmp_path, members=1)
    assert _names(_several("a", data=bytes(5000)), tmp_path, bytes=5000) == ["a"]
    with pytest.raises(TooLarge, match="with a member of 5,000 bytes is too large"):
        _names(_several("a", data=bytes(5000)), tmp_path, bytes=4999)
    with pytest.raises(TooLarge, match="unpacks to more than 0 GiB"):
        _names(_several("a", "b", data=bytes(3000)), tmp_path, bytes=5999)
    assert _names(_several("a", "b", data=bytes(3000)), tmp_path, bytes=6000) == ["a", "b"]


def test_names_are_limited_each_and_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = "n" * ((1 << 16) - 1)  # and a zero behind it
    assert _names(_several(longest), tmp_path) == [longest]
    with pytest.raises(TooLarge, match="with 65,537 bytes of a name has names that are too long"):
        _names(_several(longest + "n"), tmp_path)
    monkeypatch.setattr("insula.io.dicom.tar._MOST_NAMES_BYTES", 2 << 16)
    assert len(_names(_several(longest, longest), tmp_path)) == 2
    with pytest.raises(TooLarge, match="names that are too long"):
        _names(_several(longest, longest, "n" * 200), tmp_path)


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    assert _names(_several("caf\udce9"), tmp_path) == ["caf\udce9"]


@pytest.mark.parametrize("rest", [b"X", b"\0" * 512 + b"X", b"\n"])
def test_any_byte_after_the_end_mark_is_refused(rest: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="has data after its end mark"):
        _names(_several("a") + rest, tmp_path)
    assert _names(_several("a") + bytes(5000), tmp_path) == ["a"]


@pytest.mark.parametrize("more", [0, 1])
def test_a_packed_tar_may_unpack_to_a_multiple_of_its_size(more: int, tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(0, 256, 100_000).astype(np.uint8).tobytes() + bytes(3_000_000)
    whole = _several("a", data=content)
    packed = gzip.compress(whole)
    ratio = len(whole) // len(packed) + more
    (tmp_path / "a.tar").write_bytes(packed)
    limits = ArchiveLimits(members=9, bytes=1 << 30, ratio=ratio)
    if more:
        assert unpack_tar(tmp_path / "a.tar", None, limits) == ["a"]
    else:
        with pytest.raises(TooLarge, match=f"would unpack to more than {ratio * len(packed):,} bytes"):
            unpack_tar(tmp_path / "a.tar", None, limits)
