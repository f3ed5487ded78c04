"""DICOM files in every form in which they lie on a disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from insula.errors import BadData, TooLarge
from insula.io.dicom import has_dicom, is_dicom, lesion_seg, read_dicom, starts_as_dicom
from io_series import sample, write_series


def _bare(content: bytes) -> bytes:
    """A file's content without preamble, `DICM`, and the part that says how it is written."""
    return content[132 + 12 + int.from_bytes(content[140:144], "little") :]


_BIG, _IMPLICIT, _EXPLICIT = ExplicitVRBigEndian, ImplicitVRLittleEndian, ExplicitVRLittleEndian
_FORMS: dict[str, tuple[UID, Callable[[bytes], bytes]]] = {
    "implicit": (_IMPLICIT, _bare),
    "explicit": (_EXPLICIT, _bare),
    "big-endian": (_BIG, _bare),
    "group 0002": (_EXPLICIT, lambda content: content[132:]),
    "group 0002, implicit": (_IMPLICIT, lambda content: content[132:]),
    "DICM first": (_EXPLICIT, lambda content: content[128:]),
    "gzip": (_EXPLICIT, gzip.compress),
    "bzip2": (_EXPLICIT, bz2.compress),
    "xz": (_EXPLICIT, lzma.compress),
    "gzip twice": (_EXPLICIT, lambda content: gzip.compress(gzip.compress(content))),
    "implicit in gzip": (_IMPLICIT, lambda content: gzip.compress(_bare(content))),
}


def _rewritten(folder: Path, form: str, ending: str = "") -> Path:
    syntax, pack = _FORMS[form]
    write_series(folder, syntax=syntax)
    for path in sorted(folder.iterdir()):
        content = pack(path.read_bytes())
        path.unlink()
        path.with_name(path.name + ending).write_bytes(content)
    return folder


@pytest.mark.parametrize("form", _FORMS)
def test_every_form_gives_the_same_voxels(form: str, tmp_path: Path) -> None:
    plain = read_dicom(write_series(tmp_path / "plain"))
    folder = _rewritten(tmp_path / "a", form)
    assert has_dicom(folder)
    assert all(map(is_dicom, folder.iterdir()))
    series = read_dicom(folder)
    assert np.array_equal(series.scan.image, sample())
    assert np.allclose(series.scan.grid.affine, plain.scan.grid.affine)
    assert series.scan.name == plain.scan.name
    assert not series.scan.flags


@pytest.mark.parametrize("form", ["implicit", "explicit", "big-endian"])
def test_objects_are_written_beside_files_without_a_preamble(form: str, tmp_path: Path) -> None:
    series = read_dicom(_rewritten(tmp_path / "a", form))
    assert {header.file_meta.TransferSyntaxUID for header in series.headers} == {_FORMS[form][0]}
    labels = np.zeros(series.scan.grid.shape, np.uint16)
    labels[4:8, 4:8, 4:8] = 1
    assert lesion_seg(series, labels, weights="x").NumberOfFrames == 4


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x00",
        b"\x08\x00\x05\x00",
        bytes(400),
        b"\x08\x00" * 300,
        b"\x08\x00\x05\x00\x0a\x00\x00\x00" + b"\xff" * 300,
        b"text, not DICOM\n" * 40,
        (348).to_bytes(4, "little") + bytes(600),
        gzip.compress(b"text" * 400, mtime=0),
        gzip.compress(bytes(600), mtime=0)[:20],
        b"\x1f\x8b",
        b"BZh9",
        b"\xfd7zXZ\0",
    ],
)
def test_what_is_no_dicom_is_not_taken_for_it(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    assert not starts_as_dicom(tmp_path / "a")
    folder = write_series(tmp_path / "series")
    (folder / "other.gz").write_bytes(data)
    assert [flag.code for flag in read_dicom(folder).scan.flags] == ["files-skipped"]


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-4], lambda d: d[:30], lambda d: d[:200] + b"\x55" * 40 + d[240:], lambda d: d + b"more"]
)
def test_a_damaged_packed_slice_is_never_passed_over(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    folder = _rewritten(tmp_path / "a", "gzip", ".dcm.gz")
    path = sorted(folder.iterdir())[5]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadData, match=r"1 of 22 cannot be read|damaged|ends before|after its end"):
        read_dicom(folder)


def test_a_bomb_in_one_slice_is_stopped(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a")
    path = sorted(folder.iterdir())[5]
    stream = zlib.compressobj(9, wbits=31)
    content = stream.compress(path.read_bytes())
    content += b"".join(stream.compress(bytes(1 << 20)) for _ in range(100)) + stream.flush()
    path.write_bytes(content)
    with pytest.raises(TooLarge, match=r"would unpack to more than 67,108,864 bytes"):
        read_dicom(folder)


@pytest.mark.parametrize("place", ["header", "pixels", "end"])
def test_a_bomb_in_a_deflated_slice_is_stopped_before_it_fills_memory(place: str, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", syntax=DeflatedExplicitVRLittleEndian)
    path = sorted(folder.iterdir())[5]
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    data = zlib.decompress(content[start:], -15)
    at = data.index(b"\xe0\x7f\x10\x00OW") if place in ("header", "pixels") else len(data)
    tag = {"header": b"\xdf\x7f\x10\x00", "pixels": b"\xe0\x7f\x10\x00", "end": b"\xfc\xff\xfc\xff"}[place]
    stream = zlib.compressobj(9, wbits=-15)
    packed = stream.compress(data[:at] + tag + b"OB\0\0" + (200 << 20).to_bytes(4, "little"))
    packed += b"".join(stream.compress(bytes(1 << 20)) for _ in range(200))
    packed += stream.compress(data[at:] if place == "header" else b"") + stream.flush()
    path.write_bytes(content[:start] + packed)
    del packed, data
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=r"the deflate stream .* more than 67,108,864 bytes"):
            read_dicom(folder)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_preambleless_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    folder = _rewritten(tmp_path / "a", "implicit")
    path = sorted(folder.iterdir())[5]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadData, match="cut off"):
        read_dicom(folder)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BadData, match="1 of 22 cannot be read"):
        read_dicom(folder)
