"""Parses and checks the header of a MetaImage file (`.mha`) before any voxel is read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData, TooLarge
from insula.geometry import Grid
from insula.io.nifti_affine import check_plausible
from insula.types import Flag, Shape

__all__ = ["MetaHeader", "Placement", "parse_metaimage"]

_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_SAME_KEY = {
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
    "Position": "Offset",
    "Origin": "Offset",
}
_KEYS = frozenset(
    """
    ObjectType NDims BinaryData BinaryDataByteOrderMSB CompressedData CompressedDataSize TransformMatrix Offset
    ElementSpacing DimSize HeaderSize ElementNumberOfChannels ElementType ElementDataFile
    """.split()
)
_MOST_HEADER_BYTES = 1 << 20
_MOST_BYTES = 2 << 30
_NOT_UNIT = 1e-3
_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_COPY = "copy or download the file again"
_SAVE = "save it again with ITK as a 3-D .mha"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The position of an image as ITK stores it: x to the patient's left, y posterior, z superior.

    A result that is written with the placement of its scan has exactly the scan's numbers.
    """

    spacing_mm: tuple[float, ...]
    """The step along i, j and k [mm]."""
    direction: tuple[float, ...]
    """Nine cosines: three for the direction of i, three for j, three for k."""
    origin_mm: tuple[float, ...]
    """Position of the first voxel's centre [mm]."""

    @classmethod
    def of(cls, grid: Grid) -> Placement:
        """Return the placement of a grid."""
        steps = _TO_RAS @ grid.affine[:3, :3]  # one column for each axis
        return cls(
            spacing_mm=grid.spacing_mm,
            direction=_floats((steps / grid.spacing_mm).T.ravel()),
            origin_mm=_floats(_TO_RAS @ grid.affine[:3, 3]),
        )

    def affine(self) -> NDArray[np.float64]:
        """Return the 4x4 affine from voxel index to RAS+ [mm]."""
        affine = np.eye(4)
        affine[:3, :3] = _TO_RAS @ (np.reshape(self.direction, (3, 3)).T * self.spacing_mm)
        affine[:3, 3] = _TO_RAS @ self.origin_mm
        return affine + 0.0  # no negative zeros


@dataclass(frozen=True, eq=False, kw_only=True)
class MetaHeader:
    """The contents of a MetaImage header that passed every check."""

    shape: Shape
    """Voxels along i, j, k; i is stored fastest."""
    dtype: np.dtype[np.number]
    """Stored type, including byte order."""
    offset: int
    """Position of the voxel data in the file [bytes]."""
    compressed: int | None
    """Size of the compressed voxel data [bytes]; 0 if the header does not state it, None if it is not compressed."""
    placement: Placement
    """Where the image lies."""
    flags: tuple[Flag, ...]
    """One flag for each peculiarity."""

    @property
    def nbytes(self) -> int:
        """Size of the voxel data, uncompressed [bytes]."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_metaimage(data: bytes) -> MetaHeader:
    """Read and check the header of a MetaImage file that holds one 3-D volume.

    Orientation, spacing and origin must be stated; `AnatomicalOrientation`, which ITK ignores, is ignored. Keys that
    do not concern the voxels are skipped and never quoted, because they can hold a patient's name.

    Args:
        data: the file, or its first bytes; at least the whole header.

    Raises:
        BadData: not a MetaImage file with the voxels inside, or a key is missing, repeated, or not possible.
        TooLarge: the volume would be larger than 2 GiB.
    """
    fields, offset = _fields(data)
    for key, wanted in (("ObjectType", "Image"), ("NDims", "3"), ("BinaryData", "True"), ("ElementDataFile", "LOCAL")):
        if _text(fields, key).lower() != wanted.lower():
            raise _wrong(key, fields[key], f"is not {wanted}", _SAVE)
    for key, wanted in (("HeaderSize", "0"), ("ElementNumberOfChannels", "1")):
        if fields.get(key, wanted) != wanted:
            raise _wrong(key, fields[key], f"is not {wanted}", _SAVE)
    kind = _text(fields, "ElementType")
    if kind not in _DTYPES:
        raise _wrong("ElementType", kind, f"is not one of {', '.join(_DTYPES)}", _SAVE)
    big = "BinaryDataByteOrderMSB" in fields and _truth(fields, "BinaryDataByteOrderMSB")
    dtype = np.dtype(_DTYPES[kind]).newbyteorder(">" if big else "<")
    shape = _shape(fields, dtype)
    placement, flags = _placement(fields, shape)
    compressed = None
    if "CompressedData" in fields and _truth(fields, "CompressedData"):
        compressed = 0
        if "CompressedDataSize" in fields:
            (compressed,) = _whole_numbers(fields, "CompressedDataSize", 1)
    return MetaHeader(
        shape=shape, dtype=dtype, offset=offset, compressed=compressed, placement=placement, flags=tuple(flags)
    )


def _fields(data: bytes) -> tuple[dict[str, str], int]:
    """Return the known keys with their values, and the position behind the header."""
    last = re.search(rb"^[ \t]*ElementDataFile[ \t]*=[^\n]*\n", data[:_MOST_HEADER_BYTES], re.MULTILINE)
    if last is None:
        raise BadData("the file", f"of {len(data):,} bytes", "has no MetaImage header", "give a whole .mha file")
    fields: dict[str, str] = {}
    for line in data[: last.end()].decode("latin-1").split("\n"):
        key, _, value = line.partition("=")
        key = _SAME_KEY.get(key.strip(), key.strip())
        if key in _KEYS:
            if key in fields:
                raise BadData("the header's key", key, "is given twice", _SAVE)
            fields[key] = value.strip()
    return fields, last.end()


def _shape(fields: dict[str, str], dtype: np.dtype[np.number]) -> Shape:
    i, j, k = _whole_numbers(fields, "DimSize", 3)
    if min(i, j, k) < 2:
        rule = "is not a volume: three axes of more than one voxel are needed"
        raise _wrong("DimSize", fields["DimSize"], rule, "give a 3-D T1w scan")
    size = i * j * k * dtype.itemsize
    if size > _MOST_BYTES:
        rule = f"would be {size / 2**30:.1f} GiB, over the limit of {_MOST_BYTES >> 30} GiB"
        raise TooLarge("the image", f"of {i}x{j}x{k} voxels", rule, "crop or resample it first")
    return i, j, k


def _placement(fields: dict[str, str], shape: Shape) -> tuple[Placement, list[Flag]]:
    placement = Placement(
        spacing_mm=_numbers(fields, "ElementSpacing", 3),
        direction=_numbers(fields, "TransformMatrix", 9),
        origin_mm=_numbers(fields, "Offset", 3),
    )
    if min(placement.spacing_mm) <= 0:
        raise _wrong("ElementSpacing", fields["ElementSpacing"], "is not above 0 along each axis", _SAVE)
    lengths = np.linalg.norm(np.reshape(placement.direction, (3, 3)), axis=1)
    if np.abs(lengths - 1).max() > _NOT_UNIT:
        raise _wrong("TransformMatrix", fields["TransformMatrix"], "has a direction whose length is not 1", _SAVE)
    grid = Grid(shape, placement.affine())
    flags: list[Flag] = []
    check_plausible(grid.affine, shape, flags)
    return placement, flags


def _text(fields: dict[str, str], key: str) -> str:
    if key not in fields:
        raise BadData("the header's key", key, "is missing", _SAVE)
    return fields[key]


def _truth(fields: dict[str, str], key: str) -> bool:
    value = fields[key].lower()
    if value not in ("true", "false"):
        raise _wrong(key, fields[key], "is neither True nor False", _COPY)
    return value == "true"


def _numbers(fields: dict[str, str], key: str, count: int) -> tuple[float, ...]:
    text = _text(fields, key)
    try:
        values = tuple(float(part) for part in text.split())
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        raise _wrong(key, text, f"is not {count} finite numbers", _COPY)
    return values


def _whole_numbers(fields: dict[str, str], key: str, count: int) -> tuple[int, ...]:
    text = _text(fields, key)
    parts = text.split()
    if len(parts) != count or not all(re.fullmatch("[0-9]{1,18}", part) and int(part) for part in parts):
        raise _wrong(key, text, f"is not {count} whole number{'s' if count > 1 else ''} above 0", _COPY)
    return tuple(int(part) for part in parts)


def _wrong(key: str, value: str, rule: str, remedy: str) -> BadData:
    return BadData(f"the header's {key}", repr(value[:60]), rule, remedy)


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) + 0.0 for value in values)  # no negative zeros
