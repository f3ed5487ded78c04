"""DICOM files in every form in which they lie on a disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from insula.io.dicom.file import parse, read_header, spare_bytes
from io_series import header, sample, save, with_pixels, write_series


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


@pytest.mark.parametrize(
    "place", [pytest.param("header", marks=pytest.mark.long), "pixels", pytest.param("end", marks=pytest.mark.long)]
)
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


def _element(group: int, number: int, vr: bytes, value: bytes, *, order: str = "<", length: int | None = None) -> bytes:
    """An attribute as it is written with a stated type (VR), or without one if `vr` is empty."""
    length = len(value) if length is None else length
    tag = struct.pack(f"{order}HH", group, number)
    if not vr:
        return tag + struct.pack(f"{order}I", length) + value
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return tag + vr + bytes(2) + struct.pack(f"{order}I", length) + value
    return tag + vr + struct.pack(f"{order}H", length) + value


_UNDEFINED = 0xFFFFFFFF
_STARTS: dict[str, tuple[bool, list[tuple[Any, ...]]]] = {
    "three": (True, [(8, 5, b"CS", b"ISO_IR"), (8, 8, b"CS", b"ORIG"), (8, 0x16, b"UI", b"1.2\0")]),
    "two": (False, [(8, 5, b"CS", b"ISO_IR"), (8, 8, b"CS", b"ORIG")]),
    "group 2": (True, [(2, 0, b"UL", b"abcd"), (2, 1, b"OB", b"\0\1"), (2, 2, b"UI", b"1.2\0")]),
    "group 16": (True, [(8, 5, b"CS", b"ISO_IR"), (16, 16, b"PN", b"A^B "), (16, 32, b"LO", b"P1")]),
    "another first group": (False, [(9, 5, b"CS", b"ISO_IR"), (9, 8, b"CS", b"ORIG"), (9, 9, b"CS", b"ORIG")]),
    "group 17": (False, [(8, 5, b"CS", b"ISO_IR"), (8, 8, b"CS", b"ORIG"), (17, 9, b"CS", b"ORIG")]),
    "not ascending": (False, [(8, 8, b"CS", b"ISO_IR"), (8, 8, b"CS", b"ORIG"), (8, 9, b"CS", b"ORIG")]),
    "descending": (False, [(8, 8, b"CS", b"ISO_IR"), (8, 5, b"CS", b"ORIG"), (8, 9, b"CS", b"ORIG")]),
    "an odd length": (False, [(8, 5, b"CS", b"ISO_I"), (8, 8, b"CS", b"ORIG"), (8, 9, b"CS", b"ORIG")]),
    "a sequence": (True, [(8, 5, b"CS", b"ISO_IR"), (8, 8, b"SQ", b"ABCDEFGHIJKL", _UNDEFINED)]),
    "a sequence at once": (False, [(8, 5, b"SQ", b"ABCDEFGHIJKL", _UNDEFINED)]),
    "a sequence of no type": (True, [(8, 5, b"", b"ISO_IR"), (8, 8, b"", b"ABCDEFGHIJKL", _UNDEFINED)]),
    "no type": (True, [(8, 5, b"", b"ISO_IR"), (8, 8, b"", b"ORIG"), (8, 0x16, b"", b"1.2\0")]),
}


@pytest.mark.parametrize("name", _STARTS)
@pytest.mark.parametrize("order", "<>")
def test_a_file_without_a_preamble_is_known_by_its_first_attributes(name: str, order: str, tmp_path: Path) -> None:
    known, elements = _STARTS[name]
    data = b"".join(
        _element(*element[:4], order=order, length=element[4] if len(element) > 4 else None) for element in elements
    )
    (tmp_path / "a").write_bytes(data + (bytes(12) if known else b""))
    assert starts_as_dicom(tmp_path / "a") is (known and not ("no type" in name and order == ">"))


@pytest.mark.parametrize(("length", "known"), [(1 << 16, True), ((1 << 16) + 2, False)])
def test_first_attributes_are_short(length: int, known: bool, tmp_path: Path) -> None:
    start = _element(8, 5, b"CS", b"ISO_IR") + _element(8, 8, b"CS", b"ORIG")
    (tmp_path / "a").write_bytes(start + _element(8, 9, b"UN", b"", length=length))
    assert starts_as_dicom(tmp_path / "a") is known


@pytest.mark.parametrize("first", [b"", b"DICM"])
@pytest.mark.parametrize("syntax", [_EXPLICIT, _IMPLICIT, _BIG])
@pytest.mark.parametrize("frames", [1, 3])
def test_what_follows_the_pixels_is_found(first: bytes, syntax: UID, frames: int, tmp_path: Path) -> None:
    image = sample(0, (3, 5, frames))
    series = with_pixels(header(0, NumberOfFrames=frames), image, syntax)
    content = save(series, tmp_path / "a").read_bytes()
    content = content[128:] if first else content
    order, implicit = (">" if syntax == _BIG else "<"), syntax == _IMPLICIT
    padding = _element(0xFFFC, 0xFFFC, b"" if implicit else b"OB", bytes(6), order=order)
    own = _element(0x7FE1, 0x10, b"" if implicit else b"LO", b"MAKER ", order=order)
    sequence = _element(0x7FE1, 0x11, b"" if implicit else b"UN", b"ABCD", order=order)
    for tail, spare in (
        (b"", b""),
        (b"more", b"more"),
        (padding, b""),
        (own + sequence + padding, b""),
        (padding + bytes(4), bytes(4)),
        (padding[:-1], padding[:-1]),
        (sequence + own, own),  # not in ascending order
        (own + b"more than an attribute", b"more than an attribute"),
    ):
        assert spare_bytes(parse(content + tail), content + tail) == spare
    data = parse(content)
    data.Rows = 4  # the pixels are of 5 rows
    assert len(spare_bytes(data, content)) == 2 * 3 * frames
    data.Rows, data.SamplesPerPixel = 0, 3
    assert spare_bytes(data, content) == b""
    data.Rows = 2  # three samples of each pixel: 6 rows of one
    assert spare_bytes(data, content) == b""


def test_headers_alone_are_read_without_pixels(tmp_path: Path) -> None:
    path = save(with_pixels(header(0), sample(0, (3, 5, 1))[:, :, 0]), tmp_path / "a")
    bare = tmp_path / "bare"
    bare.write_bytes(_bare(path.read_bytes()))
    short = tmp_path / "short"
    short.write_bytes(path.read_bytes()[128:])
    for file in (path, bare, short):
        data = read_header(file)
        assert data is not None
        assert "PixelData" not in data
        assert data.PatientID == "P1"
        assert "PixelData" in parse(file.read_bytes())
        assert "PixelData" not in parse(file.read_bytes(), header_only=True)
    (tmp_path / "text").write_text("text")
    assert read_header(tmp_path / "text") is None


@pytest.mark.parametrize("name", ["a.dcm.gz", "A.IMA.BZ2", "a.dicom.xz"])
def test_a_damaged_file_is_passed_over_unless_its_name_is_that_of_a_slice(name: str, tmp_path: Path) -> None:
    for content in (gzip.compress(b"text" * 300), b"\x1f\x8bdamaged"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadData, match="damaged"):
            read_header(tmp_path / name)
        for other in ("a.gz", "dcm.gz", "a.dcm", "a.txt.gz"):
            (tmp_path / other).write_bytes(content)
            assert read_header(tmp_path / other) is None
