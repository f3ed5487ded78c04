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


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, bz2.compress, lzma.compress])
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
