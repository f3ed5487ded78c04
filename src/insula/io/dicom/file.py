"""Reads DICOM files in any form on disk: with or without a preamble, plain or compressed."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from insula.errors import BadData, InsulaError
from insula.io.bytes import FileBytes, read_file, read_head
from insula.io.inflate import check_deflated, inflate_at_most, peel

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["parse", "read_content", "read_header", "spare_bytes", "starts_as_dicom"]

_PREFIX = b"DICM"
_LOOK = 1024
_FIRST_GROUPS = (0x0002, 0x0008)
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_LONGEST = 1 << 16  # bytes of any of the first attributes, which are short
_UNDEFINED = 0xFFFFFFFF
_MOST_BYTES, _GREATEST_RATIO, _ALWAYS_BYTES = 2 << 30, 200, 64 << 20


def starts_as_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM does; only regular files are opened, because reading a pipe would block."""
    if not path.is_file():
        return False
    try:
        head, _ = peel(lambda count: read_head(path, count), _LOOK)
    except InsulaError:
        return False
    return _is_dicom(head)


def read_header(path: Path) -> Dataset | None:
    """Read a file's attributes up to its pixels; None if it is not DICOM.

    Raises:
        BadData: the file is compressed and damaged.
        TooLarge: it would decompress to too many bytes.
        Exception: any error that pydicom raises for a broken file.
    """
    try:
        head, kinds = peel(lambda count: read_head(path, count), _LOOK)
    except BadData:
        if _named_as_dicom(path):
            raise
        return None
    if not _is_dicom(head):
        if kinds and _named_as_dicom(path):
            raise BadData("a DICOM file", "", "is damaged", "copy the series again")
        return None
    if kinds or head[:4] == _PREFIX:
        return parse(read_content(path).data, header_only=True)
    from pydicom import dcmread

    with _BoundedFile(io.FileIO(path)) as file:
        return _with_transfer_syntax(dcmread(file, stop_before_pixels=True, force=True))


def read_content(path: Path) -> FileBytes:
    """Read a file's decompressed bytes; the hash and modification time are those of the file on disk.

    Raises:
        BadData: the file is compressed and damaged.
        TooLarge: it would decompress to too many bytes.
        NoInput, NoPermission, IOFault: the operating system could not read it.
    """
    file = read_file(path)
    data = file.data
    _, kinds = peel(lambda count: file.data[:count], _LOOK)
    most = _most_bytes(len(data))
    for _ in kinds:
        data = inflate_at_most(data, most)
    return FileBytes(data, file.sha256, file.modified_ns)


def parse(content: bytes, *, header_only: bool = False) -> Dataset:
    """Parse the decompressed bytes of a DICOM file; the dataset always has a transfer syntax.

    Raises:
        BadData: the dataset is deflated and damaged.
        TooLarge: the dataset is deflated and would inflate to too many bytes.
        Exception: any error that pydicom raises for a broken file.
    """
    from pydicom import dcmread

    start = 4 if content[:4] == _PREFIX else 0
    file = _BoundedContent(content[start:])
    return _with_transfer_syntax(dcmread(file, stop_before_pixels=header_only, force=True))


class _BoundedFile(io.BufferedReader):
    """A file that refuses to give pydicom a deflated dataset of too many bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        return _bounded(super().read(size), size)


class _BoundedContent(io.BytesIO):
    """The same for the content of a file."""

    def read(self, size: int | None = -1, /) -> bytes:
        return _bounded(super().read(size), size)


def _bounded(data: bytes, size: int | None) -> bytes:
    """Check a deflated dataset: pydicom reads the rest of a file at once only to inflate it, without a limit."""
    if size is None or size < 0:
        check_deflated(data, _most_bytes(len(data)))
    return data


def _most_bytes(packed: int) -> int:
    """Return how many bytes a file of a given size may decompress to."""
    return min(_MOST_BYTES, max(_ALWAYS_BYTES, _GREATEST_RATIO * packed))


def spare_bytes(data: Dataset, content: bytes) -> bytes:
    """Return the pixel bytes beyond the image's size and the bytes after the pixels that are not attributes.

    Bytes inserted by a fault displace everything after them, so the same number of bytes is left over at the end.

    Args:
        data: the dataset from `parse`, before its pixels are decoded.
        content: the bytes that it was parsed from.
    """
    from pydicom.dataelem import RawDataElement
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        raw = data.get_item(keyword) if keyword in data else None
        if not isinstance(raw, RawDataElement) or raw.length == _UNDEFINED:
            continue
        if data.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
            continue
        start = 4 if content[:4] == _PREFIX else 0
        tail = content[start + raw.value_tell + raw.length :]
        count = int(data.Rows) * int(data.Columns) * int(data.get("NumberOfFrames") or 1)
        size = count * int(data.get("SamplesPerPixel") or 1) * int(data.BitsAllocated) // 8
        extra = (raw.value or b"")[size + size % 2 :] if size > 0 else b""
        return extra + _no_attributes(tail, implicit=raw.is_implicit_VR, order="<" if raw.is_little_endian else ">")
    return b""


def _no_attributes(tail: bytes, *, implicit: bool, order: str) -> bytes:
    """Return the bytes that remain after every complete attribute, in ascending order, that follows the pixels."""
    at, last = 0, (0x7FE0, 0x0010)
    while at + 8 <= len(tail):
        tag = struct.unpack_from(order + "HH", tail, at)
        long = not implicit and tail[at + 4 : at + 6] in _LONG_VRS
        if not implicit and tail[at + 4 : at + 6] not in _VRS:
            break
        start = at + (12 if long else 8)
        if start > len(tail):
            break
        form, place = ("I", start - 4) if implicit or long else ("H", at + 6)
        (length,) = struct.unpack_from(order + form, tail, place)
        if tag <= last or start + length > len(tail):
            break
        at, last = start + length, tag
    return tail[at:]


def _with_transfer_syntax(data: Dataset) -> Dataset:
    """Fill in the transfer syntax that pydicom detected, if the file does not state one."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if getattr(data, "file_meta", None) is None:
        data.file_meta = FileMetaDataset()
    if not data.file_meta.get("TransferSyntaxUID"):
        implicit, little = data.original_encoding
        explicit = ExplicitVRLittleEndian if little or little is None else ExplicitVRBigEndian
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return data


def _is_dicom(head: bytes) -> bool:
    if head[128:132] == _PREFIX or head[:4] == _PREFIX:
        return True
    return any(_attributes(head, order) >= 3 for order in "<>")


def _attributes(head: bytes, order: str) -> int:
    """Count the attributes at the start, in ascending order and of plausible length; 3 are sufficient evidence."""
    at, count, last = 0, 0, (0, 0)
    while count < 3 and at + 12 <= len(head):
        tag = struct.unpack_from(order + "HH", head, at)
        vr = head[at + 4 : at + 6]
        if vr in _LONG_VRS:
            start, (length,) = at + 12, struct.unpack_from(order + "I", head, at + 8)
        elif vr in _VRS:
            start, (length,) = at + 8, struct.unpack_from(order + "H", head, at + 6)
        elif order == "<":
            start, (length,) = at + 8, struct.unpack_from("<I", head, at + 4)
        else:
            return 0
        if tag <= last or (count == 0 and tag[0] not in _FIRST_GROUPS) or tag[0] > 0x0010:
            return 0
        count, last = count + 1, tag
        if length == _UNDEFINED:
            return 3 if count > 1 else 0
        if length % 2 or length > _LONGEST:
            return 0
        at = start + length
    return count


def _named_as_dicom(path: Path) -> bool:
    """Whether a compressed file has the name of a DICOM file, so that skipping it could lose a slice."""
    ending, packing = ("", "", *map(str.lower, path.suffixes))[-2:]
    return packing in (".gz", ".bz2", ".xz") and ending in (".dcm", ".ima", ".dicom")
