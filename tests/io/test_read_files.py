"""The strict reader: what files are called, how they are packed, and what belongs together."""

from __future__ import annotations

import bz2
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus.files import INTER, MAGIC, SLOPE, VOX_OFFSET, nifti, packed
from insula.errors import BadData, NoInput, UsageError
from insula.io import read_labels, read_scan, read_values, still_the_same
from insula.io.read import bare_name, folded, plain_name, printable

_IMAGE = np.random.default_rng(0).integers(0, 900, (6, 7, 8)).astype(np.int16)

_PACK = {"": bytes, ".gz": packed, ".bz2": bz2.compress, ".xz": lzma.compress}


def _flags(path: Path, **options: Any) -> list[tuple[str, str, str]]:
    return [(flag.code, flag.severity, flag.text) for flag in read_scan(path, **options).flags]


@pytest.mark.parametrize("packing", _PACK)
@pytest.mark.parametrize("upper", [False, True])
def test_names_tell_how_a_file_is_packed_and_are_not_believed(packing: str, upper: bool, tmp_path: Path) -> None:
    right = f"a.nii{packing}".upper() if upper else f"a.nii{packing}"
    (tmp_path / right).write_bytes(_PACK[packing](nifti(_IMAGE)))
    scan = read_scan(tmp_path / right)
    assert (scan.name, scan.flags) == ("A" if upper else "a", ())
    assert np.array_equal(scan.image, _IMAGE)
    for other in {*_PACK} - {packing}:
        (tmp_path / f"b.nii{other}").write_bytes(_PACK[packing](nifti(_IMAGE)))
        how = {
            "": "not compressed",
            ".gz": "compressed by gzip",
            ".bz2": "compressed by bzip2",
            ".xz": "compressed by xz",
        }
        text = f"The file is {how[packing]}, although its name says otherwise."
        assert _flags(tmp_path / f"b.nii{other}") == [("name-misleads", "note", text)]


def test_a_file_that_is_compressed_twice_is_flagged(tmp_path: Path) -> None:
    (tmp_path / "a.nii.bz2").write_bytes(bz2.compress(packed(nifti(_IMAGE))))
    text = "The file is compressed twice (gzip in bzip2)."
    assert _flags(tmp_path / "a.nii.bz2") == [("packed-twice", "note", text)]
    (tmp_path / "b.nii.gz").write_bytes(packed(packed(bytes(2 << 20) + nifti(_IMAGE))))
    with pytest.raises(BadData):
        read_scan(tmp_path / "b.nii.gz")


@pytest.mark.parametrize(("change", "how"), [(lambda data: data[:-1], "shorter"), (lambda data: data + b"x", "longer")])
def test_another_length_than_the_header_announces_is_named(change: Any, how: str, tmp_path: Path) -> None:
    data = change(nifti(_IMAGE))
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(BadData) as error:
        read_scan(tmp_path / "a.nii")
    assert f"of {len(data):,} bytes is {how} than the {len(nifti(_IMAGE)):,} bytes" in str(error.value)


def _pair_of(folder: Path, header: str, image: str, *, voxels: np.ndarray = _IMAGE, pack: Any = bytes) -> None:
    data = nifti(voxels, edits=[(MAGIC, "4s", b"ni1"), (VOX_OFFSET, "f", 0.0)])
    folder.mkdir(exist_ok=True)
    (folder / header).write_bytes(pack(data[:352]))
    (folder / image).write_bytes(pack(data[352:]))


@pytest.mark.parametrize(
    ("header", "image", "pack"),
    [
        ("a.hdr", "a.img", bytes),
        ("A.HDR", "A.IMG", bytes),
        ("a.hdr", "a.IMG", bytes),
        ("a.hdr.gz", "a.img.gz", packed),
        ("a.hdr.xz", "a.img.xz", lzma.compress),
    ],
)
def test_either_half_of_a_pair_finds_the_other(header: str, image: str, pack: Any, tmp_path: Path) -> None:
    _pair_of(tmp_path, header, image, pack=pack)
    for name in (header, image):
        scan = read_scan(tmp_path / name)
        assert np.array_equal(scan.image, _IMAGE)
        assert (scan.name, scan.flags) == (name[0], ())
        assert scan.file is not None
        assert scan.file.bytes == (tmp_path / image).stat().st_size
        assert still_the_same(tmp_path / name, scan.file)


def test_a_change_in_either_half_of_a_pair_is_a_change(tmp_path: Path) -> None:
    _pair_of(tmp_path, "a.hdr", "a.img")
    facts = read_scan(tmp_path / "a.hdr").file
    assert facts is not None
    for name, at in (("a.hdr", 148), ("a.img", 9)):
        before = (tmp_path / name).read_bytes()
        data = bytearray(before)
        data[at] ^= 1
        (tmp_path / name).write_bytes(data)
        assert not still_the_same(tmp_path / "a.hdr", facts)
        assert read_scan(tmp_path / "a.hdr").file != facts
        (tmp_path / name).write_bytes(before)
    assert still_the_same(tmp_path / "a.hdr", facts)


def test_halves_that_are_missing_or_doubled_are_named(tmp_path: Path) -> None:
    _pair_of(tmp_path, "a.hdr", "a.img")
    (tmp_path / "a.img").unlink()
    with pytest.raises(NoInput, match=r"the other half of the pair a\.img does not exist"):
        read_scan(tmp_path / "a.hdr")
    with pytest.raises(NoInput, match=r"one half of the pair a\.img does not exist"):
        read_scan(tmp_path / "a.img")
    _pair_of(tmp_path, "a.hdr", "a.img")
    (tmp_path / "a.img").rename(tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes((tmp_path / "a.hdr").read_bytes())
    with pytest.raises(BadData, match=r"needs an \.hdr and an \.img file side by side"):
        read_scan(tmp_path / "b.nii")


def test_voxels_of_a_pair_that_begin_as_gzip_does_are_voxels(tmp_path: Path) -> None:
    voxels = _IMAGE.copy()
    voxels[:2, 0, 0] = np.frombuffer(b"\x1f\x8b\x08\x00", np.int16)
    _pair_of(tmp_path, "a.hdr", "a.img", voxels=voxels)
    assert np.array_equal(read_values(tmp_path / "a.hdr")[0], voxels)
    assert "name-misleads" not in {code for code, _, _ in _flags(tmp_path / "a.hdr")}


def test_one_frame_of_several_is_chosen_and_flagged(tmp_path: Path) -> None:
    several = np.stack([_IMAGE, _IMAGE + 1, _IMAGE + 2], axis=3)
    (tmp_path / "a.nii").write_bytes(nifti(several))
    assert np.array_equal(read_scan(tmp_path / "a.nii", frame=1).image, _IMAGE + 1)
    assert _flags(tmp_path / "a.nii", frame=1) == [("frame-chosen", "note", "Frame 1 of 3 was used.")]
    for frame in (-1, 3):
        with pytest.raises(UsageError, match=f"`frame` {frame} does not exist in a file of 3 frames; choose 0 to 2"):
            read_scan(tmp_path / "a.nii", frame=frame)
    with pytest.raises(UsageError, match=r"of 3 frames is not one volume; choose one with `frame=0` to 2"):
        read_values(tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes(nifti(_IMAGE))
    assert _flags(tmp_path / "b.nii", frame=0) == []
    with pytest.raises(UsageError, match="`frame` 1 does not exist in a file of one frame"):
        read_scan(tmp_path / "b.nii", frame=1)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (1.0, 7.0), (2.0, 0.0), (-0.5, 3.0)])
def test_slope_and_intercept_are_applied(slope: float, intercept: float, tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(nifti(_IMAGE, edits=[(SLOPE, "f", slope), (INTER, "f", intercept)]))
    values, _ = read_values(tmp_path / "a.nii")
    assert np.array_equal(values, _IMAGE * np.float32(slope) + np.float32(intercept))
    assert values.flags.c_contiguous


@pytest.mark.parametrize(("value", "ok"), [(1.0009, True), (1.002, False)])
def test_labels_may_be_off_by_a_thousandth(value: float, ok: bool, tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(nifti(np.where(_IMAGE > 500, np.float32(value), np.float32(0))))
    if ok:
        assert np.array_equal(read_labels(tmp_path / "a.nii")[0], _IMAGE > 500)
    else:
        with pytest.raises(BadData, match="not whole"):
            read_labels(tmp_path / "a.nii")


def test_names_for_people_and_for_files() -> None:
    assert plain_name("caf\udce9-\ud800x\udfff.\ud7ff\ue000") == "caf_-_x_.\ud7ff\ue000"
    assert printable("a\nb\x1b[31m\u202ec") == "a?b?[31m?c"
    assert [bare_name(Path(name)) for name in ("A.NII.GZ", "b.hdr", "c.mha", ".nii")] == ["A", "b", "c.mha", ".nii"]
    assert folded("CAFE\u0301") == folded("caf\xe9")
