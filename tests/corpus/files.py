"""Small NIfTI files, right and wrong, built byte by byte."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from insula.geometry import Grid
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid

Bytes = bytes
Edit = tuple[int, str, Any]

GRID = phantom_grid(spacing_mm=(3.0, 3.0, 3.0))
IMAGE = phantom_case(GRID).scan.image.astype(np.int16)

# byte offsets in a NIfTI-1 header
SIZEOF, DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET, SLOPE, INTER = 0, 40, 70, 72, 76, 108, 112, 116
UNITS, QFORM_CODE, SFORM_CODE, QUATERN_B, SROW_X, MAGIC = 123, 252, 254, 256, 280, 344


def nifti(
    image: np.ndarray = IMAGE,
    grid: Grid = GRID,
    *,
    kind: type = nib.Nifti1Image,
    order: str = "<",
    edits: list[Edit] | None = None,
) -> Bytes:
    """The bytes of an uncompressed single-file NIfTI; `edits` are (offset, struct format, value)."""
    header = kind.header_class(endianness=order)  # type: ignore[attr-defined]
    header.set_data_dtype(image.dtype.newbyteorder(order))
    file = kind(image, grid.affine, header)
    file.header.set_sform(grid.affine, code=1)
    file.header.set_qform(grid.affine, code=1)
    file.header.set_xyzt_units("mm")
    buffer = io.BytesIO()
    file.to_stream(buffer)
    data = bytearray(buffer.getvalue())
    for offset, form, value in edits or []:
        struct.pack_into(order + form, data, offset, value)
    return bytes(data)


def packed(data: Bytes) -> Bytes:
    """gzip, the same bytes every time."""
    return gzip.compress(data, compresslevel=6, mtime=0)


def save(name: str, make: Callable[[], Bytes]) -> Callable[[Path], Path]:
    """A builder that writes what `make` gives to `name` in a folder."""

    def build(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(make())
        return path

    return build


def edited(*edits: Edit, image: np.ndarray = IMAGE) -> Callable[[Path], Path]:
    """A `.nii` with header fields overwritten."""
    return save("scan.nii", lambda: nifti(image, edits=list(edits)))


def valued(image: np.ndarray, *edits: Edit) -> Callable[[Path], Path]:
    """A `.nii` of other voxels."""
    return save("scan.nii", lambda: nifti(image, edits=list(edits)))


def placed(grid: Grid, **options: Any) -> Callable[[Path], Path]:
    """The phantom on another grid."""
    return save("scan.nii", lambda: nifti(phantom_case(grid, **options).scan.image.astype(np.int16), grid))


def pair(folder: Path) -> Path:
    """An .hdr and an .img."""
    file = nib.Nifti1Pair(IMAGE, GRID.affine)
    file.header.set_sform(GRID.affine, code=1)
    file.header.set_qform(GRID.affine, code=1)
    nib.save(file, folder / "scan.img")
    return folder / "scan.hdr"


def bomb() -> Bytes:
    """Three megabytes that announce and hold over 3 GB of zeros, as many members."""
    header = nifti(
        np.zeros((2, 2, 2), np.int16), Grid((2, 2, 2), np.eye(4)), edits=[(DIM + 2 * n, "h", 1200) for n in (1, 2, 3)]
    )[:352]
    zeros = gzip.compress(bytes(1 << 26), compresslevel=9, mtime=0)
    return packed(header) + zeros * 51


def quiet_bomb() -> Bytes:
    """A header within the limit, and a file too small to hold it honestly."""
    sizes = [(DIM + 2 * n, "h", 700) for n in (1, 2, 3)]
    return packed(nifti(np.zeros((2, 2, 2), np.int16), Grid((2, 2, 2), np.eye(4)), edits=sizes)[:352] + bytes(1 << 20))


def overlong() -> Bytes:
    """More voxels than announced, without end."""
    return packed(nifti() + bytes(1 << 24))
