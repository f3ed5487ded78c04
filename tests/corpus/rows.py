"""The table: what comes in, and what it gets. A new case is a new row."""

from __future__ import annotations

import bz2
import lzma
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np

from corpus.files import (
    BITPIX,
    DATATYPE,
    DIM,
    GRID,
    IMAGE,
    INTER,
    MAGIC,
    PIXDIM,
    QFORM_CODE,
    QUATERN_B,
    SFORM_CODE,
    SIZEOF,
    SLOPE,
    SROW_X,
    UNITS,
    VOX_OFFSET,
    bomb,
    edited,
    nifti,
    overlong,
    packed,
    pair,
    placed,
    quiet_bomb,
    save,
    valued,
)
from geometry.orders import ORDERS, stored_as, turned
from insula.geometry import Grid
from insula.simulate.phantom import phantom_grid

Outcome = Literal["refused", "warned", "done"]


@dataclass(frozen=True)
class Row:
    """One bad (or merely odd) input."""

    number: str
    """As in the project's list of bad inputs."""
    title: str
    build: Callable[[Path], Path]
    outcome: Outcome
    message: str = ""
    """In the message of a refusal: the offending value. Of a warning: the flag's code."""
    code: int = 65
    """Exit code of a refusal."""
    options: tuple[tuple[str, Any], ...] = ()
    """Of the command."""


def R(number: str, title: str, build: Callable[[Path], Path], message: str, code: int = 65, **options: Any) -> Row:
    return Row(number, title, build, "refused", message, code, tuple(options.items()))


def W(number: str, title: str, build: Callable[[Path], Path], message: str, **options: Any) -> Row:
    return Row(number, title, build, "warned", message, 0, tuple(options.items()))


def O(number: str, title: str, build: Callable[[Path], Path], **options: Any) -> Row:  # noqa: E743
    return Row(number, title, build, "done", "", 0, tuple(options.items()))


def _broken(change: Callable[[bytearray], bytes | bytearray]) -> Callable[[Path], Path]:
    return save("scan.nii.gz", lambda: bytes(change(bytearray(packed(nifti())))))


def _flip(data: bytearray) -> bytearray:
    data[len(data) // 2] ^= 0x10
    return data


def _zero(data: bytearray) -> bytearray:
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    return data


def _odd(value: float, count: int) -> np.ndarray:
    image = IMAGE.astype(np.float32)
    image.reshape(-1)[:count] = value
    return image


def _padded(value: float) -> np.ndarray:
    """The head seen through a tilted window, as resampling leaves it: what lies outside holds one value."""
    i, j, k = np.indices(IMAGE.shape)
    outside = np.abs(i - 32) + np.abs(j - 38) * 0.3 > 33
    return np.where(outside | (k < 4), np.float32(value), IMAGE.astype(np.float32))


def _standardised() -> np.ndarray:
    head = IMAGE.astype(np.float32)
    inside = head > 200
    return np.where(inside, (head - head[inside].mean()) / head[inside].std(), np.float32(0))


def _frames(count: int, extra: int = 1) -> np.ndarray:
    image = np.stack([IMAGE] * count, axis=-1)
    return image if extra == 1 else np.stack([image] * extra, axis=-1)


def _two_forms(offset_mm: float, flip: bool) -> list[tuple[int, str, Any]]:
    """A qform that says something else than the sform: moved, or with left and right exchanged."""
    edits: list[tuple[int, str, Any]] = [(QUATERN_B + 12, "f", GRID.affine[0, 3] + offset_mm)]
    if flip:  # half a turn about the front-back axis exchanges left and right, and up and down
        edits += [(QUATERN_B + 4, "f", 1.0), (QUATERN_B, "f", 0.0), (QUATERN_B + 8, "f", 0.0)]
    return edits


def _renamed_pair(folder: Path, header: str, image: str) -> Path:
    path = pair(folder)
    path.with_suffix(".img").rename(folder / image)
    return path.rename(folder / header)


def _xz(data: bytes) -> bytes:
    """Six times as fast as by default."""
    return lzma.compress(data, preset=0)


_PLAIN, _ZERO_SFORM = nifti(), [(SROW_X + 4 * n, "f", 0.0) for n in range(12)]
_NO_CODES = [(QFORM_CODE, "h", 0), (SFORM_CODE, "h", 0)]
_LEFT_HANDED = stored_as(IMAGE, GRID, ORDERS[4])
_CROPPED = Grid((32, 75, 64), GRID.affine)

CONTAINER = [
    R("1", "gz cut at half", _broken(lambda d: d[: len(d) // 2]), "before its end mark"),
    R("2", "gz lost its last 4 bytes", _broken(lambda d: d[:-4]), "before its end mark"),
    R("3", "one flipped byte", _broken(_flip), f"{len(packed(_PLAIN)):,} bytes"),
    R("4", "4 KiB zeroed", _broken(_zero), f"{len(packed(_PLAIN)):,} bytes"),
    R("5", "0-byte file", save("scan.nii", lambda: b""), "0 bytes"),
    R("6", ".nii cut", save("scan.nii", lambda: _PLAIN[:-1000]), f"{len(_PLAIN) - 1000:,} bytes"),
    R("6b", ".nii too long", save("scan.nii", lambda: _PLAIN + b"more"), f"longer than the {len(_PLAIN):,}"),
    R("7", "header only", save("scan.nii", lambda: _PLAIN[:352]), "352 bytes"),
    R("7b", "half a header", save("scan.nii", lambda: _PLAIN[:200]), "200 bytes"),
    W("8", "plain NIfTI named .gz", save("scan.nii.gz", lambda: _PLAIN), "name-misleads"),
    W("9", "gzip named .nii", save("scan.nii", lambda: packed(_PLAIN)), "name-misleads"),
    R("10", "text in gz", save("scan.nii.gz", lambda: packed(b"not an image, " * 60)), "neither 348"),
    R(
        "11",
        "HTML login page",
        save("scan.nii.gz", lambda: b"<!DOCTYPE html><html><title>Sign in</title></html>" * 9),
        "web page",
    ),
    R("11b", "short HTML page in gz", save("scan.nii.gz", lambda: packed(b"<html>please log in</html>")), "web page"),
    R("13", "wrong magic", edited((MAGIC, "4s", b"abc\0")), "abc"),
    R("13b", "ANALYZE 7.5, no magic", edited((MAGIC, "4s", b"\0\0\0\0")), "does not define left and right"),
    R("14", "sizeof_hdr wrong", edited((SIZEOF, "i", 349)), "349"),
    R("15", "gz bomb, 3 GB from 3 MB", save("scan.nii.gz", bomb), "1200x1200x1200"),
    R("15b", "gz bomb under the size limit", save("scan.nii.gz", quiet_bomb), "400 times"),
    R("15c", "gz longer than announced", save("scan.nii.gz", overlong), "holds more than"),
    R("16", "30000^3 voxels", edited(*[(DIM + 2 * n, "h", 30000) for n in (1, 2, 3)]), "30000x30000x30000"),
    R("17", "negative dim", edited((DIM + 4, "h", -56)), "-56"),
    R("18", "dim[0] = 0", edited((DIM, "h", 0)), "dim[0] 0"),
    R("18b", "dim[0] = 9", edited((DIM, "h", 9)), "dim[0] 9"),
    R("19", "an axis of length zero", edited((DIM + 6, "h", 0)), "dim[3] 0"),
    R("20", "unknown datatype", edited((DATATYPE, "h", 3)), "3 (unknown)"),
    R("20b", "bitpix contradicts datatype", edited((BITPIX, "h", 8)), "bitpix 8"),
    R("22", "vox_offset past the end", edited((VOX_OFFSET, "f", 1e8)), "100,614,400"),
    R("22b", "vox_offset inside the header", edited((VOX_OFFSET, "f", 12.0)), "12.0"),
    O("26", "NIfTI-2", save("scan.nii", lambda: nifti(kind=nib.Nifti2Image))),
    O("27", "big-endian", save("scan.nii", lambda: nifti(order=">"))),
    O("28", ".hdr/.img pair", pair),
    R(
        "28b",
        "a pair without its .img",
        lambda f: (pair(f), (f / "scan.img").unlink(), f / "scan.hdr")[2],
        "scan.img",
        66,
    ),
    R("29", ".mgz", save("scan.mgz", lambda: packed(b"\0\0\0\1" + b"\0\0\1\0" * 3 + bytes(600))), "FreeSurfer"),
    R("29b", ".nrrd", save("scan.nrrd", lambda: b"NRRD0004\ntype: short\n" + bytes(600)), "NRRD"),
    R("29c", ".mha", save("scan.mha", lambda: b"ObjectType = Image\nNDims = 3\n" + bytes(600)), "MetaImage"),
    R("29d", "DICOM", save("scan.dcm", lambda: bytes(128) + b"DICM" + bytes(600)), "DICOM"),
    O("30", "several gzip members", save("scan.nii.gz", lambda: packed(_PLAIN[:9000]) + packed(_PLAIN[9000:]))),
    O("30b", "zero padding after gzip", save("scan.nii.gz", lambda: packed(_PLAIN) + bytes(512))),
    O("31", ".nii.bz2", save("scan.nii.bz2", lambda: bz2.compress(_PLAIN))),
    O("31b", ".nii.xz", save("scan.nii.xz", lambda: _xz(_PLAIN))),
    *[
        W(f"31c {n}", f"packed twice, {n}", save("scan.nii.gz", lambda p=p: packed(p(_PLAIN))), "packed-twice")
        for n, p in (("gz", packed), ("bz2", bz2.compress), ("xz", _xz))
    ],
    R(
        "31d",
        "packed three times",
        save("scan.nii.gz", lambda: packed(packed(packed(_PLAIN)))),
        "more than 2 times; unpack it",
    ),
    W("31e", "bzip2 named .gz", save("scan.nii.gz", lambda: bz2.compress(_PLAIN)), "name-misleads"),
    R("31f", "bzip2 cut", save("scan.nii.bz2", lambda: bz2.compress(_PLAIN)[:-20]), "before its end mark"),
    R("31g", "xz cut", save("scan.nii.xz", lambda: _xz(_PLAIN)[:-20]), "before its end mark"),
    R(
        "31h",
        "bz2 longer than announced",
        save("scan.nii.bz2", lambda: bz2.compress(_PLAIN + bytes(1 << 26))),
        "holds more than",
    ),
    R(
        "31i",
        "xz in gz, longer than announced",
        save("scan.nii.gz", lambda: packed(_xz(_PLAIN + bytes(1 << 26)))),
        "holds more than",
    ),
    R(
        "31j",
        "gz that unpacks to a gz far longer than its scan",
        save("scan.nii.gz", lambda: packed(packed(_PLAIN) + bytes(1 << 26))),
        "would unpack to more than",
    ),
    *[
        O(f"31k {n}", f"pair named {n}", lambda f, n=n: _renamed_pair(f, *n.split()))
        for n in ("PAIR.HDR PAIR.IMG", "pair.HDR pair.img", "pair.hdr pair.IMG", "Pair.Hdr Pair.iMg")
    ],
    R(
        "31l",
        "the other half is there twice",
        lambda f: (shutil.copy(_renamed_pair(f, "a.hdr", "a.IMG").with_name("a.IMG"), f / "a.Img"), f / "a.hdr")[1],
        "exists 2 times",
    ),
    *[
        R(f"31m {n}", f"packed by {n}", save(f"scan.{e}", lambda d=d: d + bytes(600)), n)
        for n, e, d in (
            ("7z", "7z", b"7z\xbc\xaf\x27\x1c"),
            ("RAR", "rar", b"Rar!\x1a\x07\0"),
            ("Zstandard", "nii.zst", b"\x28\xb5\x2f\xfd"),
            ("LZ4", "nii.lz4", b"\x04\x22\x4d\x18"),
            ("compress", "nii.Z", b"\x1f\x9d\x90"),
        )
    ],
    R(
        "31n",
        "LZMA without a checksum",
        save("scan.nii.lzma", lambda: lzma.compress(_PLAIN, lzma.FORMAT_ALONE, preset=0)),
        "unlzma",
    ),
    R("30c", "rubbish after gzip", save("scan.nii.gz", lambda: packed(_PLAIN) + b"rubbish"), "7 bytes"),
]

VOXELS = [
    W("32", "one NaN", valued(_odd(np.nan, 1)), "voxels-filled"),
    W("33", "infinities", valued(_odd(np.inf, 3)), "voxels-filled"),
    R("34", "all NaN", valued(_odd(np.nan, IMAGE.size)), f"{IMAGE.size:,}"),
    R("35", "all zero", valued(np.zeros_like(IMAGE)), "zero everywhere"),
    R("36", "constant", valued(np.full_like(IMAGE, 7)), "value 7"),
    O("37", "4-D, one frame", valued(_frames(1))),
    R("38", "4-D, many frames", valued(_frames(3)), "3 frames", 2),
    O("38b", "4-D, a frame chosen", valued(_frames(3)), frame=1),
    R("38c", "4-D, a frame that is not there", valued(_frames(3)), "--frame 3", 2, frame=3),
    R("39", "5-D", valued(_frames(2, 2)), "5 axes"),
    R("40", "2-D", valued(IMAGE[:, :, 20]), "64x75"),
    R("42", "complex", valued(IMAGE.astype(np.complex64)), "complex64"),
    *[
        O(f"43 {t.__name__}", f"stored as {t.__name__}", valued((IMAGE // 8).astype(t)))
        for t in (np.int8, np.uint8, np.uint16, np.int32, np.int64, np.uint64, np.float64)
    ],
    W("45", "slope 0", edited((SLOPE, "f", 0.0)), "slope-undefined"),
    W("45b", "slope NaN", edited((SLOPE, "f", np.nan)), "slope-undefined"),
    W("45c", "slope Inf", edited((SLOPE, "f", np.inf)), "slope-undefined"),
    W("45d", "intercept NaN", edited((SLOPE, "f", 2.0), (INTER, "f", np.nan)), "intercept-undefined"),
    W("46", "negative slope", valued(-IMAGE, (SLOPE, "f", -1.0), (INTER, "f", 0.0)), "slope-negative"),
    O("48", "values around 1e-9", valued(IMAGE.astype(np.float32) * 1e-12)),
    O("48b", "values around 1e9", valued(IMAGE.astype(np.float64) * 1e6)),
    O("49", "negative intensities", valued(IMAGE - np.int16(900))),
    *[
        W(f"50 {name}", f"padding of {value:g} around the head", valued(_padded(value)), "padding-set-aside")
        for name, value in (("a", -1000.0), ("b", -32768.0), ("c", 65535.0))
    ],
    W("50d", "standardised inside the brain, 0 around it", valued(_standardised()), "padding-set-aside"),
    O("50e", "a background of 0 below all signal", valued(np.where(IMAGE > 60, IMAGE, 0))),
    W("50", "inverted intensities", valued(IMAGE.max() - IMAGE), "contrast-inverted"),
]

GEOMETRY = [
    R("51", "no orientation", edited(*_NO_CODES), "--assume-orientation"),
    W("51b", "no orientation, one assumed", edited(*_NO_CODES), "orientation-assumed", assume_orientation="RAS"),
    R("51c", "an orientation that is none", edited(*_NO_CODES), "RRS", 2, assume_orientation="RRS"),
    W("52", "sform and qform apart", edited(*_two_forms(9.0, flip=False)), "sform-qform-disagree"),
    R("52b", "sform and qform exchange left and right", edited(*_two_forms(0.0, flip=True)), "left and right disagree"),
    R("53", "singular sform", edited((QFORM_CODE, "h", 0), *_ZERO_SFORM), "singular"),
    R("53b", "NaN in the sform", edited((QFORM_CODE, "h", 0), (SROW_X, "f", np.nan)), "nan"),
    R("53c", "a quaternion longer than 1", edited((SFORM_CODE, "h", 0), (QUATERN_B, "f", 3.0)), "3.0"),
    R("54", "pixdim 0", edited((PIXDIM + 4, "f", 0.0)), "0.0, 3.0"),
    R("54b", "pixdim NaN", edited((PIXDIM + 8, "f", np.nan)), "nan"),
    W("54c", "pixdim negative", edited((PIXDIM + 4, "f", -3.0)), "pixdim-negative"),
    R(
        "54d",
        "pixdim contradicts the sform",
        edited((QFORM_CODE, "h", 0), (PIXDIM + 4, "f", 5.0)),
        "is given twice and disagrees",
    ),
    R(
        "54e",
        "an sform of another scale",
        edited(*((SROW_X + 4 * n, "f", 2 * float(GRID.affine.ravel()[n])) for n in range(12))),
        "6 x 6 x 6 mm (sform)",
    ),
    R(
        "55",
        "a shear of 45 degrees",
        edited((QFORM_CODE, "h", 0), (SROW_X + 4, "f", 3.0), (PIXDIM + 8, "f", 3 * 2**0.5)),
        "shear that no scanner produces",
    ),
    R(
        "55b",
        "voxels of three metres",
        save("scan.nii", lambda: nifti(grid=Grid(GRID.shape, np.diag([1e3, 1e3, 1e3, 1]) @ GRID.affine))),
        "between 0.01 and 100 mm",
    ),
    R(
        "55c",
        "voxels of three micrometres",
        save("scan.nii", lambda: nifti(grid=Grid(GRID.shape, np.diag([1e-3, 1e-3, 1e-3, 1]) @ GRID.affine))),
        "between 0.01 and 100 mm",
    ),
    W(
        "55d",
        "an origin half a kilometre away",
        save(
            "scan.nii",
            lambda: nifti(grid=Grid(GRID.shape, GRID.affine + np.array([[0, 0, 0, 5e5], [0] * 4, [0] * 4, [0] * 4]))),
        ),
        "origin-far",
    ),
    W(
        "56",
        "metres",
        save(
            "scan.nii",
            lambda: nifti(grid=Grid(GRID.shape, np.diag([1e-3, 1e-3, 1e-3, 1]) @ GRID.affine), edits=[(UNITS, "B", 1)]),
        ),
        "units-converted",
    ),
    W(
        "56b",
        "micrometres",
        save(
            "scan.nii",
            lambda: nifti(grid=Grid(GRID.shape, np.diag([1e3, 1e3, 1e3, 1]) @ GRID.affine), edits=[(UNITS, "B", 3)]),
        ),
        "units-converted",
    ),
    O("60", "oblique by 17 degrees", placed(turned(phantom_grid(spacing_mm=(3, 3, 3)), 17))),
    W("61", "1 x 1 x 5 mm", placed(phantom_grid(spacing_mm=(2, 2, 5))), "thick-slices"),
    R("63", "10 x 10 x 10 voxels", placed(phantom_grid(spacing_mm=(9, 9, 9), shape=(10, 10, 10))), "10x10x10"),
    R("63b", "12 mm steps", placed(phantom_grid(spacing_mm=(12, 12, 12))), "12 mm"),
    W("64", "field of view cuts the brain", save("scan.nii", lambda: nifti(IMAGE[:32], _CROPPED)), "field-of-view-cut"),
    O("66", "left-handed", save("scan.nii", lambda: nifti(*_LEFT_HANDED))),
    O("70", "skull-stripped", placed(phantom_grid(spacing_mm=(3, 3, 3)), skull=False)),
    R(
        "67",
        "nothing the size of a brain",
        placed(phantom_grid(spacing_mm=(1.0, 1.0, 1.0), shape=(60, 60, 60))),
        "smaller than a brain",
    ),
]

FILES = [
    R(
        "100",
        "a loop of symbolic links",
        lambda f: ((f / "a.nii").symlink_to(f / "b.nii"), (f / "b.nii").symlink_to(f / "a.nii"), f / "a.nii")[2],
        "loop",
        66,
    ),
    R("101", "no such file", lambda f: f / "absent.nii.gz", "absent.nii.gz", 66),
    O("102", "spaces and letters of the world", save("Schädel 01 脳 é.nii", lambda: _PLAIN)),
    O("102b", "a newline in the name", save("two\nlines.nii", lambda: _PLAIN)),
    O("102c", "a name of 250 bytes", save("x" * 246 + ".nii", lambda: _PLAIN)),
    O("102d", "a leading dash", save("-dash.nii", lambda: _PLAIN)),
    O("102e", "a name of brackets", save("scan[1]*.nii", lambda: _PLAIN)),
    O("102f", "a name with markup", save("<script>alert(1)<script>.nii", lambda: _PLAIN)),
    R("103", "a named pipe", lambda f: (__import__("os").mkfifo(f / "pipe.nii"), f / "pipe.nii")[1], "regular file", 2),
]

ROWS = [*CONTAINER, *VOXELS, *GEOMETRY, *FILES]
