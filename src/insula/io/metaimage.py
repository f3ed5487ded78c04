"""Reads and writes MetaImage files (`.mha`), the format in which challenge platforms exchange volumes."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData
from insula.geometry import Grid, laid_out
from insula.io.atomic import write_bytes
from insula.io.bytes import read_file
from insula.io.inflate import check_announced
from insula.io.intensities import sound_image
from insula.io.metaimage_header import MetaHeader, Placement, parse_metaimage
from insula.volume import FileFacts, Scan

__all__ = ["read_metaimage", "write_metaimage"]

_TYPES = {"uint8": "MET_UCHAR", "float32": "MET_FLOAT"}
_EITHER = zlib.MAX_WBITS | 32  # a zlib or a gzip stream: ITK reads both
_COPY = "copy or download the file again"


def read_metaimage(path: Path, *, name: str) -> tuple[Scan, Placement]:
    """Read a scan from a `.mha` file, as strictly as `read_scan` reads NIfTI.

    The checksum of compressed data, the exact length and every header field that concerns the voxels are checked.

    Args:
        path: the file.
        name: name of the scan.

    Returns:
        The scan, RAS+, and its placement in ITK's numbers, with which results are written.

    Raises:
        BadData: the file is damaged or ambiguous, or its image is constant.
        NoInput, NoPermission, IOFault: the file cannot be read.
    """
    file = read_file(path)
    header = parse_metaimage(file.data)
    stored = np.frombuffer(_voxels(file.data, header), header.dtype).reshape(header.shape, order="F")
    flags = list(header.flags)
    with np.errstate(over="ignore", invalid="ignore"):
        image = laid_out(stored, "C", np.float32)
    image = sound_image(image, flags)
    facts = FileFacts(sha256=file.sha256, bytes=len(file.data), modified_ns=file.modified_ns)
    grid = Grid(header.shape, header.placement.affine())
    return Scan(image, grid, name=name, flags=tuple(flags), file=facts), header.placement


def write_metaimage(path: Path, voxels: NDArray[np.uint8] | NDArray[np.float32], placement: Placement) -> None:
    """Write a volume as a compressed `.mha`, atomically and with the same bytes every time.

    Args:
        path: output path, ending in `.mha`.
        voxels: (i, j, k), uint8 or float32.
        placement: that of the scan, or `Placement.of` its grid.

    Raises:
        CannotCreate, NoPermission, IOFault: as in `write_bytes`.
    """
    data = zlib.compress(laid_out(voxels, "F").ravel(order="F").astype(voxels.dtype.newbyteorder("<")).tobytes(), 3)
    header = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(data)),
        "TransformMatrix": _numbers(placement.direction),
        "Offset": _numbers(placement.origin_mm),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _numbers(placement.spacing_mm),
        "DimSize": " ".join(map(str, voxels.shape)),
        "ElementType": _TYPES[voxels.dtype.name],
        "ElementDataFile": "LOCAL",
    }
    write_bytes(path, "".join(f"{key} = {value}\n" for key, value in header.items()).encode("ascii") + data)


def _voxels(data: bytes, header: MetaHeader) -> bytes:
    """Return the voxel data, which must have exactly the announced size."""
    rest = data[header.offset :]
    announced = header.nbytes if header.compressed is None else header.compressed
    if announced and len(rest) != announced:
        how = "shorter" if len(rest) < announced else "longer"
        raise BadData(
            "the voxel data", f"of {len(rest):,} bytes", f"is {how} than the {announced:,} bytes announced", _COPY
        )
    return rest if header.compressed is None else _inflated(rest, header.nbytes)


def _inflated(data: bytes, expected: int) -> bytes:
    check_announced(expected, len(data))
    stream = zlib.decompressobj(wbits=_EITHER)
    what, value = "the compressed voxel data", f"of {len(data):,} bytes"
    try:  # one byte more than allowed reveals a stream that is too long without unpacking it
        voxels = stream.decompress(data, expected + 1)
    except zlib.error:
        raise BadData(what, value, "is damaged", _COPY) from None
    if len(voxels) > expected:
        raise BadData(what, value, f"holds more than the {expected:,} bytes its header announces", _COPY)
    if not stream.eof:
        raise BadData(what, value, "ends before its end mark", _COPY)
    if len(voxels) < expected:
        raise BadData(what, value, f"holds fewer than the {expected:,} bytes its header announces", _COPY)
    if stream.unused_data:
        raise BadData(what, f"followed by {len(stream.unused_data):,} bytes", "has other data after its end", _COPY)
    return voxels


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.17g}" for value in values)
