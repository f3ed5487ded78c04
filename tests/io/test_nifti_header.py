"""Every field of a NIfTI header is read as the standard says, or refused with its value."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest

from insula.errors import BadData
from insula.io.nifti_header import Header, parse_header, starts_as_nifti

_SHAPE = (4, 5, 6)


def _head(kind: type[nib.Nifti1Header] = nib.Nifti1Header, *, order: str = "<", **fields: Any) -> bytes:
    """A valid header with an sform, and other fields as given; the padding behind it is not part of it."""
    header = kind(endianness=order)
    header.set_data_shape(_SHAPE)
    header.set_data_dtype(np.int16)
    header.set_sform(np.diag([1.0, 1.0, 1.0, 1.0]), 1)
    header["vox_offset"] = 352 if kind is nib.Nifti1Header else 544
    header["magic"] = b"n+1" if kind is nib.Nifti1Header else b"n+2"
    if kind is nib.Nifti2Header:
        header["eol_check"] = (13, 10, 26, 10)
    header["scl_slope"], header["scl_inter"] = 1, 0
    for key, value in fields.items():
        header[key] = value
    return bytes(header.binaryblock) + bytes(600 - len(header.binaryblock))


def _refusal(head: bytes) -> str:
    with pytest.raises(BadData) as error:
        parse_header(head)
    return str(error.value)


def _codes(header: Header) -> dict[str, str]:
    return {flag.code: flag.severity for flag in header.flags}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "magic", "offset", "is_pair"),
    [
        (nib.Nifti1Header, b"n+1", 352, False),
        (nib.Nifti1Header, b"ni1", 0, True),
        (nib.Nifti2Header, b"n+2", 544, False),
        (nib.Nifti2Header, b"ni2", 0, True),
    ],
)
def test_both_versions_in_both_byte_orders(kind: Any, magic: bytes, offset: int, is_pair: bool, order: str) -> None:
    head = _head(kind, order=order, magic=magic, vox_offset=offset)
    assert starts_as_nifti(head)
    header = parse_header(head[: 348 if kind is nib.Nifti1Header else 540])
    assert (header.shape, header.offset, header.pair) == (_SHAPE, offset, is_pair)
    assert (header.slope, header.intercept, header.flags) == (1.0, 0.0, ())
    assert header.dtype == np.dtype(f"{order}i2")
    assert header.nbytes == 240


@pytest.mark.parametrize(
    ("code", "dtype"),
    [
        (2, "u1"),
        (4, "i2"),
        (8, "i4"),
        (16, "f4"),
        (64, "f8"),
        (256, "i1"),
        (512, "u2"),
        (768, "u4"),
        (1024, "i8"),
        (1280, "u8"),
    ],
)
def test_types_of_plain_numbers(code: int, dtype: str) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    assert parse_header(_head(datatype=code, bitpix=bits)).dtype == np.dtype(dtype)
    assert f"bitpix {bits + 8} contradicts datatype {code} ({bits} bits)" in _refusal(
        _head(datatype=code, bitpix=bits + 8)
    )


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (1, "1-bit"),
        (32, "complex64"),
        (128, "RGB"),
        (1536, "float128"),
        (1792, "complex128"),
        (2048, "complex256"),
        (2304, "RGBA"),
        (3, "unknown"),
    ],
)
def test_other_types_are_refused_by_name(code: int, name: str) -> None:
    assert f"the datatype {code} ({name}) is not a plain number" in _refusal(_head(datatype=code))


_FOREIGN = {
    "a web page": [b"<!DOCTYPE html>", b"  \n<html>", b"<HTML>", b'<?xml version="1.0"?>', b"<?XML"],
    "DICOM": [bytes(128) + b"DICM", b"\n" * 128 + b"DICM"],
    "NRRD": [b"NRRD0004"],
    "MetaImage": [b"ObjectType = Image", b"NDims = 3"],
    "FreeSurfer .mgz": [b"\0\0\0\x01\0\0\0\x04"],
    "a zip archive": [b"PK\x03\x04"],
    "a tar archive": [b"a" * 257 + b"ustar", b"\n" * 257 + b"ustar"],
    "a 7z archive": [b"7z\xbc\xaf\x27\x1c"],
    "a RAR archive": [b"Rar!\x1a\x07"],
    "compressed by Zstandard": [b"\x28\xb5\x2f\xfd"],
    "compressed by LZ4": [b"\x04\x22\x4d\x18"],
    "compressed by compress (.Z)": [b"\x1f\x9d", b"\x1f\xa0"],
    "compressed by LZMA": [b"\x5d\0\0\x80\x00" + b"\xff" * 8, b"\x5d\0\0\n\0\0" + b"\xff" * 8],
}


@pytest.mark.parametrize(("name", "start"), [(name, start) for name, starts in _FOREIGN.items() for start in starts])
def test_other_formats_are_named_however_short_the_file_is(name: str, start: bytes) -> None:
    for head in (start, start + b"\1" * 600):
        assert f"the file is {name}" in _refusal(head)
        assert not starts_as_nifti(head)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"", "of 0 bytes is too short for a NIfTI header (348)"),
        (_head()[:347], "of 347 bytes is too short for a NIfTI header (348)"),
        (_head(nib.Nifti2Header)[:539], "of 539 bytes is too short for its header (540)"),
        (b"\xfe\xff\xff\xff" + bytes(400), "the header size -2 is neither 348"),
        (b"\x02\x00\x00\x00" + bytes(400), "the header size 2 is neither 348"),
        (_head(magic=b"n+3"), r"magic b'n+3\x00' is not NIfTI's"),
        (_head(magic=b"NI1"), r"magic b'NI1\x00' is not NIfTI's"),
        (_head(nib.Nifti2Header, magic=b"n+1"), "is not NIfTI's"),
        (_head(nib.Nifti2Header, magic=b"NI2"), "is not NIfTI's"),
        (_head(nib.Nifti2Header, eol_check=(13, 10, 26, 0)), "is not NIfTI's"),
    ],
)
def test_what_is_no_header_is_refused(head: bytes, message: str) -> None:
    assert message in _refusal(head)


@pytest.mark.parametrize(
    ("dim", "shape"),
    [
        ([3, 4, 5, 6], (4, 5, 6)),
        ([3, 2, 2, 2], (2, 2, 2)),
        ([4, 4, 5, 6, 1], (4, 5, 6)),
        ([4, 4, 5, 6, 2], (4, 5, 6, 2)),
        ([7, 4, 5, 6, 2, 1, 1, 1], (4, 5, 6, 2)),
        ([7, 4, 5, 6, 1, 1, 1, 1], (4, 5, 6)),
    ],
)
def test_axes_of_one_at_the_end_are_dropped(dim: list[int], shape: tuple[int, ...]) -> None:
    assert parse_header(_head(dim=[*dim, *[1] * (8 - len(dim))])).shape == shape


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        ([0, 4, 5, 6], "dim[0] 0 is not between 1 and 7"),
        ([8, 4, 5, 6], "dim[0] 8 is not between 1 and 7"),
        ([3, 4, 0, 6], "dim[2] 0 is not at least one voxel"),
        ([3, -4, 5, 6], "dim[1] -4 is not at least one voxel"),
        ([1, 4], "of 4 voxels is not a volume"),
        ([2, 4, 5], "of 4x5 voxels is not a volume"),
        ([3, 4, 5, 1], "of 4x5x1 voxels is not a volume"),
        ([4, 4, 1, 6, 2], "of 4x1x6x2 voxels is not a volume"),
        ([5, 4, 5, 6, 1, 2], "of 5 axes has more than four axes"),
        ([3, 2048, 1024, 513], "of 2048x1024x513 voxels would be 2.0 GiB, over the limit of 2 GiB"),
    ],
)
def test_shapes_that_are_no_volume_are_refused(dim: list[int], message: str) -> None:
    assert message in _refusal(_head(dim=[*dim, *[1] * (8 - len(dim))]))


def test_an_image_may_take_two_gibibytes() -> None:
    assert parse_header(_head(dim=[3, 2048, 1024, 512, 1, 1, 1, 1])).nbytes == 2 << 30


@pytest.mark.parametrize("offset", [351, 0, -1, 352.5, np.inf, np.nan, 2.0**32])
def test_an_offset_into_the_header_or_far_away_is_refused(offset: float) -> None:
    assert f"vox_offset {float(np.float32(offset))} does not lie behind the header (at least 352)" in _refusal(
        _head(vox_offset=offset)
    )


def test_more_than_the_least_offset_is_kept() -> None:
    assert parse_header(_head(vox_offset=400)).offset == 400
    assert parse_header(_head(vox_offset=2.0**31)).offset == 2 << 30


@pytest.mark.parametrize(
    ("slope", "intercept", "read", "flags"),
    [
        (2, 3, (2.0, 3.0), {}),
        (0, 3, (1.0, 0.0), {"slope-undefined": "note"}),
        (np.nan, 3, (1.0, 0.0), {"slope-undefined": "note"}),
        (np.inf, 3, (1.0, 0.0), {"slope-undefined": "warning"}),
        (2, np.nan, (2.0, 0.0), {"intercept-undefined": "warning"}),
        (-2, 3, (-2.0, 3.0), {"slope-negative": "warning"}),
    ],
)
def test_scaling(slope: float, intercept: float, read: tuple[float, float], flags: dict[str, str]) -> None:
    header = parse_header(_head(scl_slope=slope, scl_inter=intercept))
    assert (header.slope, header.intercept) == read
    assert _codes(header) == flags
    assert all(f"{slope:g}" in flag.text or f"{intercept:g}" in flag.text for flag in header.flags)
