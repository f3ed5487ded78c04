"""Strict gzip, bzip2 and xz: all members complete, all checksums valid, never more bytes than announced."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from insula.errors import BadData, TooLarge

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "Inflating",
    "check_announced",
    "check_deflated",
    "inflate",
    "inflate_at_most",
    "inflate_head",
    "packing_of",
    "peel",
]

_MOST_LAYERS = 2  # two layers: a server may compress a compressed file again
_MAGICS = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}
_ERRORS = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)  # bzip2 raises OSError; no file is read here
_DICTIONARY_BYTES = 256 << 20  # a stream requests its memory; no preset of xz requests more than 65 MiB
_HEAD_BYTES = 1 << 21  # bzip2 returns nothing before its first block of 900 kB is complete
_PIECE = 1 << 18
_GREATEST_RATIO = 400
_SUSPECT_BYTES = 256 << 20
_REMEDY = "copy or download the file again"


def packing_of(head: bytes) -> str:
    """Detect `gzip`, `bzip2` or `xz` from a file's first bytes; empty for anything else."""
    return next((kind for kind, magic in _MAGICS.items() if head.startswith(magic)), "")


class _Decompressor(Protocol):
    """What the decompressors of all kinds have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _decompressor(kind: str) -> _Decompressor:
    """Return a decompressor for one stream."""
    if kind == "gzip":
        return zlib.decompressobj(wbits=31)
    return bz2.BZ2Decompressor() if kind == "bzip2" else lzma.LZMADecompressor(lzma.FORMAT_XZ, _DICTIONARY_BYTES)


def inflate_head(data: bytes, count: int) -> bytes:
    """Return the first `count` decompressed bytes, or fewer if the stream ends; checksums are not verified.

    Raises:
        BadData: the stream is damaged, or ends before its first byte can be decompressed.
    """
    kind = packing_of(data) or "gzip"
    what, value = f"the {kind} stream", f"of {len(data):,} bytes read"
    stream = _decompressor(kind)
    try:
        head = stream.decompress(data, count)
    except _ERRORS:
        raise BadData(what, value, "is damaged", _REMEDY) from None
    if not head and not stream.eof:
        raise BadData(what, value, "ends before its end mark", _REMEDY)
    return head


def peel(read: Callable[[int], bytes], count: int) -> tuple[bytes, tuple[str, ...]]:
    """Return the first bytes inside all layers of compression, and the layers, outermost first.

    Args:
        read: returns the file's first bytes, up to the requested number.
        count: number of bytes to return; fewer if the file has no more.

    Raises:
        BadData: the file is damaged, or compressed more than twice.
    """
    head, kinds = b"", list[str]()
    for size in (1 << 16, 2 * _HEAD_BYTES):
        start = head = read(size)
        kinds = []
        try:
            while kind := packing_of(head):
                if len(kinds) == _MOST_LAYERS:
                    raise BadData("the file", "", f"is compressed more than {_MOST_LAYERS} times", "unpack it first")
                kinds.append(kind)
                head = inflate_head(head, _HEAD_BYTES)
        except BadData:
            if size > len(start) or size > 1 << 16:  # nothing more can be read
                raise
            continue
        if len(head) >= count or not kinds:
            break
    return head[:count], tuple(kinds)


def inflate(data: bytes, expected: int) -> bytes:
    """Decompress a whole gzip, bzip2 or xz file, which must yield exactly `expected` bytes.

    The standard library stops checking once it has the requested bytes. This function reads to the end of the last
    member and so detects a truncated tail, a wrong checksum and a wrong length. Several members and zero padding are
    allowed.

    Args:
        data: the compressed file.
        expected: number of bytes, from the header inside.

    Raises:
        BadData: truncated, damaged, too short or too long.

    Source:
        RFC 1952, section 2.3.1 (CRC32, ISIZE).
    """
    kind = packing_of(data) or "gzip"
    whole = _members(data, kind, expected)
    if whole is None:
        rule = f"holds more than the {expected:,} bytes its header announces"
        raise BadData(f"the {kind} stream", f"of {len(data):,} bytes", rule, _REMEDY)
    if len(whole) != expected:
        rule = f"is shorter than the {expected:,} bytes its header announces"
        raise BadData("the voxel data", f"of {len(whole):,} bytes", rule, _REMEDY)
    return whole


def inflate_at_most(data: bytes, most: int) -> bytes:
    """Decompress data of unknown length, as strictly as `inflate` does.

    Raises:
        TooLarge: the result would exceed `most` bytes.
        BadData: truncated or damaged.
    """
    kind = packing_of(data) or "gzip"
    whole = _members(data, kind, most)
    if whole is None:
        rule = f"would unpack to more than {most:,} bytes"
        raise TooLarge(f"the {kind} stream", f"of {len(data):,} bytes", rule, "check where it comes from")
    return whole


def check_announced(announced: int, size: int) -> None:
    """Check that a header does not announce far more data than its file can reasonably hold.

    Args:
        announced: size of the content according to the header [bytes].
        size: size of the file, or of its compressed part [bytes].

    Raises:
        BadData: the content would be over 256 MiB and over 400 times the file's size.
    """
    if announced > _SUSPECT_BYTES and announced > _GREATEST_RATIO * size:
        rule = f"would unpack to {announced:,} bytes, over {_GREATEST_RATIO} times its size"
        raise BadData("the file", f"of {size:,} bytes", rule, "check where it comes from")


def check_deflated(data: bytes, most: int) -> None:
    """Check that a raw deflate stream, which has no header and no checksum, ends and is not too long.

    Raises:
        TooLarge: it would unpack to more than `most` bytes.
        BadData: truncated or damaged.
    """
    what, value = "the deflate stream", f"of {len(data):,} bytes"
    stream, size = zlib.decompressobj(wbits=-zlib.MAX_WBITS), 0
    try:
        for start in range(0, len(data), _PIECE):
            rest = data[start : start + _PIECE]
            while rest and size <= most and not stream.eof:
                size += len(stream.decompress(rest, _PIECE))
                rest = stream.unconsumed_tail
        if size <= most:
            size += len(stream.flush())
    except zlib.error:
        raise BadData(what, value, "is damaged", _REMEDY) from None
    if size > most:
        raise TooLarge(what, value, f"would unpack to more than {most:,} bytes", "check where it comes from")
    if not stream.eof:
        raise BadData(what, value, "ends before its end mark", _REMEDY)


def _members(data: bytes, kind: str, most: int) -> bytes | None:
    """Decompress all members of a file; None if their total exceeds `most` bytes."""
    what, value = f"the {kind} stream", f"of {len(data):,} bytes"
    members: list[bytes] = []
    filled, rest = 0, data
    while rest:
        if not rest.startswith(_MAGICS[kind]) and members:
            if rest.strip(b"\0"):
                raise BadData(what, f"followed by {len(rest):,} bytes", "has other data after its end", _REMEDY)
            break
        member = _decompressor(kind)
        try:  # one byte more than allowed reveals a stream that is too long without unpacking it
            members.append(member.decompress(rest, most - filled + 1))
        except _ERRORS:
            raise BadData(what, value, "is damaged", _REMEDY) from None
        filled += len(members[-1])
        if filled > most:
            return None
        if not member.eof:
            raise BadData(what, value, "ends before its end mark", _REMEDY)
        rest = member.unused_data
    return members[0] if len(members) == 1 else b"".join(members)


class Inflating(io.RawIOBase):
    """A stream of a compressed file's content, as strict as `inflate`, for files that do not fit into memory.

    Args:
        source: the compressed file, at its start.
        kind: compression: `gzip`, `bzip2` or `xz`.
        most: largest number of bytes that it may yield.

    Raises:
        BadData: on reading, if the file is truncated or damaged.
        TooLarge: on reading, if it yields more than `most` bytes.
    """

    def __init__(self, source: io.BufferedReader, kind: str, *, most: int) -> None:
        self._source, self._kind, self._left, self._most = source, kind, most, most
        self._stream: _Decompressor | None = None
        self._held = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, or part of it; return the number of bytes, 0 at the end."""
        view = memoryview(buffer)
        piece = self._next(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def _next(self, count: int) -> bytes:
        piece = b""
        while not piece:
            stream = self._begin() if self._stream is None or self._stream.eof else self._stream
            if stream is None:
                return b""
            if not self._held and getattr(stream, "needs_input", True):
                self._held = self._source.read(_PIECE)
                if not self._held:
                    raise BadData(f"the {self._kind} stream", "", "ends before its end mark", _REMEDY)
            try:
                piece = stream.decompress(self._held, count)
            except _ERRORS:
                raise BadData(f"the {self._kind} stream", "", "is damaged", _REMEDY) from None
            self._held = getattr(stream, "unconsumed_tail", b"")
        self._left -= len(piece)
        if self._left < 0:
            rule = f"would unpack to more than {self._most:,} bytes"
            raise TooLarge(f"the {self._kind} stream", "", rule, "check where it comes from")
        return piece

    def _begin(self) -> _Decompressor | None:
        """Start the next member; None if only zero padding follows."""
        rest = self._source.read(_PIECE) if self._stream is None else self._stream.unused_data
        while len(rest) < len(_MAGICS[self._kind]) and (more := self._source.read(_PIECE)):
            rest += more
        if rest.startswith(_MAGICS[self._kind]):
            self._stream, self._held = _decompressor(self._kind), rest
            return self._stream
        while rest and not rest.strip(b"\0"):
            rest = self._source.read(_PIECE)
        if rest or self._stream is None:
            raise BadData(f"the {self._kind} stream", "", "has other data after its end", _REMEDY)
        return None
