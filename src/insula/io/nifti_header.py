"""Parses and checks a NIfTI header before any voxel is read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from insula.errors import BadData
from insula.io.nifti_affine import find_affine
from insula.types import Flag
from insula.volume import Spaces

__all__ = ["HEADER_BYTES", "Header", "parse_header", "starts_as_nifti"]

HEADER_BYTES = 540
"""Sufficient for both versions."""

_MOST_BYTES = 2 << 30
_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REFUSED = {
    1: "1-bit",
    32: "complex64",
    128: "RGB",
    1536: "float128",
    1792: "complex128",
    2048: "complex256",
    2304: "RGBA",
}
_COPY = "copy or download the file again"
_OTHERS = (
    (
        re.compile(rb"\s*<(!doctype|html|\?xml)", re.I),
        "a web page, as after a failed download or an expired login",
        "download it again, logged in",
    ),
    (re.compile(rb".{128}DICM", re.S), "DICOM", "name its folder to `insula segment`"),
    (re.compile(rb"NRRD"), "NRRD", "convert it to .nii.gz"),
    (re.compile(rb"ObjectType|NDims"), "MetaImage (.mha, .mhd)", "convert it to .nii.gz"),
    (re.compile(rb"\0\0\0\x01\0\0"), "FreeSurfer .mgz or .mgh", "convert it with mri_convert to .nii.gz"),
    (re.compile(rb"PK\x03\x04"), "a zip archive", "unpack it"),
    (re.compile(rb".{257}ustar", re.S), "a tar archive", "unpack it"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive", "unpack it"),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive", "unpack it"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "compressed by Zstandard", "unpack it with zstd -d"),
    (re.compile(rb"\x04\x22\x4d\x18"), "compressed by LZ4", "unpack it with lz4 -d"),
    (re.compile(rb"\x1f[\x9d\xa0]"), "compressed by compress (.Z)", "unpack it with uncompress"),
    (
        re.compile(rb"\x5d\0\0.{2}\0{0,2}\xff{2,8}", re.S),
        "compressed by LZMA without a checksum (.lzma)",
        "unpack it with unlzma",
    ),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Header:
    """The contents of a header that passed every check."""

    shape: tuple[int, ...]
    """Voxels along each axis, without trailing axes of length 1; three axes, or four with several frames."""
    dtype: np.dtype[np.number]
    """Stored type, including byte order."""
    offset: int
    """Position of the first voxel in the (uncompressed) image file [bytes]."""
    slope: float
    """Value = stored * slope + intercept; never 0."""
    intercept: float
    """Value = stored * slope + intercept."""
    affine: NDArray[np.float64]
    """Maps index to RAS+ [mm]."""
    spaces: Spaces | None
    """The forms as stored; None if the orientation was assumed, steps are negative or the qform is not a rotation."""
    pair: bool
    """Whether the voxels are in a separate .img file."""
    flags: tuple[Flag, ...]
    """One flag for each repair."""

    @property
    def nbytes(self) -> int:
        """Size of the voxel data [bytes]."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_header(head: bytes, *, assume_orientation: str | None = None) -> Header:
    """Read and check the first bytes of a NIfTI-1 or NIfTI-2 file, either byte order.

    Args:
        head: at least the whole header, uncompressed.
        assume_orientation: three letters such as `RAS`, used only if the file defines no orientation.

    Raises:
        BadData: not NIfTI, or a field contradicts the standard or another field; the message contains its value.
    """
    raw = _which(head)
    flags: list[Flag] = []
    shape = _shape(raw)
    dtype = _dtype(raw)
    offset, pair = _offset(raw)
    slope, intercept = _scaling(raw, flags)
    if math.prod(shape) * dtype.itemsize > _MOST_BYTES:
        size = "x".join(map(str, shape))
        rule = (
            f"would be {math.prod(shape) * dtype.itemsize / 2**30:.1f} GiB, over the limit of {_MOST_BYTES >> 30} GiB"
        )
        raise BadData("the image", f"of {size} voxels", rule, "check the header, or crop and resample first")
    affine, spaces = find_affine(raw, shape, flags, assume_orientation)
    return Header(
        shape=shape,
        dtype=dtype,
        offset=offset,
        slope=slope,
        intercept=intercept,
        affine=affine,
        spaces=spaces,
        pair=pair,
        flags=tuple(flags),
    )


def starts_as_nifti(head: bytes) -> bool:
    """Whether the first bytes are those of a NIfTI header; the rest of the header is not checked."""
    return any(int.from_bytes(head[:4], order) in (348, 540) for order in ("little", "big"))


def _which(head: bytes) -> Nifti1Header:
    if len(head) < 348:
        error = _foreign(head)
        if error:
            raise error
        raise BadData("the file", f"of {len(head)} bytes", "is too short for a NIfTI header (348)", _COPY)
    for kind, size, magics in (
        (Nifti1Header, 348, (b"n+1\0", b"ni1\0")),
        (Nifti2Header, 540, (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")),
    ):
        for endianness, order in (("<", "little"), (">", "big")):
            if int.from_bytes(head[:4], order) == size:  # type: ignore[arg-type]
                if len(head) < size:
                    raise BadData("the file", f"of {len(head)} bytes", f"is too short for its header ({size})", _COPY)
                raw = kind(head[:size], endianness=endianness, check=False)
                start = 344 if size == 348 else 4
                magic = head[start : start + len(magics[0])]
                if magic not in magics:
                    rule = (
                        "is not NIfTI's (an old ANALYZE file, which does not define left and right, or a damaged file)"
                    )
                    raise BadData(
                        "the header's magic", repr(magic), rule, "convert it to NIfTI with the tool that wrote it"
                    )
                return raw
    error = _foreign(head)
    if error:
        raise error
    value = int.from_bytes(head[:4], "little", signed=True)
    raise BadData("the header size", value, "is neither 348 (NIfTI-1) nor 540 (NIfTI-2)", "give a .nii or .nii.gz file")


def _foreign(head: bytes) -> BadData | None:
    for pattern, name, remedy in _OTHERS:
        if pattern.match(head):
            return BadData("the file", "", f"is {name}, not NIfTI (.nii, .nii.gz, .hdr/.img)", remedy)
    return None


def _shape(raw: Nifti1Header) -> tuple[int, ...]:
    dim = [int(n) for n in raw["dim"]]
    rank = dim[0]
    if not 1 <= rank <= 7:
        raise BadData("dim[0]", rank, "is not between 1 and 7", _COPY)
    sizes = dim[1 : rank + 1]
    for axis, size in enumerate(sizes, start=1):
        if size < 1:
            raise BadData(f"dim[{axis}]", size, "is not at least one voxel", _COPY)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) < 3 or 1 in sizes[:3]:
        text = "x".join(map(str, sizes))
        raise BadData(
            "the image",
            f"of {text} voxels",
            "is not a volume: three axes of more than one voxel are needed",
            "give a 3-D T1w scan",
        )
    if len(sizes) > 4:
        raise BadData("the image", f"of {len(sizes)} axes", "has more than four axes", "extract one 3-D volume first")
    return tuple(sizes)


def _dtype(raw: Nifti1Header) -> np.dtype[np.number]:
    code = int(raw["datatype"])
    if code not in _DTYPES:
        name = _REFUSED.get(code, "unknown")
        raise BadData(
            "the datatype", f"{code} ({name})", "is not a plain number", "save magnitudes as int16 or float32"
        )
    dtype = np.dtype(_DTYPES[code]).newbyteorder(raw.endianness)
    bits = int(raw["bitpix"])
    if bits != 8 * dtype.itemsize:
        raise BadData("bitpix", bits, f"contradicts datatype {code} ({8 * dtype.itemsize} bits)", _COPY)
    return dtype


def _offset(raw: Nifti1Header) -> tuple[int, bool]:
    pair = bytes(raw["magic"]).startswith(b"ni")
    value = float(raw["vox_offset"])
    least = 0 if pair else int(raw["sizeof_hdr"]) + 4
    if not math.isfinite(value) or value != int(value) or not least <= value <= _MOST_BYTES:
        raise BadData("vox_offset", value, f"does not lie behind the header (at least {least})", _COPY)
    return int(value), pair


def _scaling(raw: Nifti1Header, flags: list[Flag]) -> tuple[float, float]:
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        text = f"The scale factor in the header is {slope:g}; stored values were taken as they are."
        flags.append(Flag("slope-undefined", text, "warning" if math.isinf(slope) else "note"))
        return 1.0, 0.0
    if not math.isfinite(intercept):
        flags.append(Flag("intercept-undefined", f"The intercept in the header is {intercept:g}; 0 was used."))
        intercept = 0.0
    if slope < 0:
        flags.append(
            Flag(
                "slope-negative",
                f"The scale factor in the header is {slope:g}: stored and true intensities run in opposite directions.",
            )
        )
    return slope, intercept
