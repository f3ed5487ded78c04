"""gzip, strictly: every member complete, every checksum right, never more than announced."""

from __future__ import annotations

import zlib

from insula.errors import BadData

__all__ = ["GZIP_MAGIC", "inflate", "inflate_head"]

GZIP_MAGIC = b"\x1f\x8b"
_REMEDY = "copy or download the file again"


def inflate_head(data: bytes, count: int) -> bytes:
    """The first `count` inflated bytes, or fewer if the stream breaks off; for looking, not for trusting."""
    try:
        return zlib.decompressobj(wbits=31).decompress(data, count)
    except zlib.error as error:
        raise BadData("the gzip stream", f"of {len(data):,} bytes read", f"is damaged ({error})", _REMEDY) from None


def inflate(data: bytes, expected: int) -> bytes:
    """All of a gzip file, which must inflate to exactly `expected` bytes.

    The standard library stops checking where it has what was asked for; this goes to the end of the last member, so
    a cut tail, a wrong CRC-32 and a wrong length are all found. Several members and zero padding are allowed.

    Args:
        data: the compressed file.
        expected: bytes, from the header inside.

    Raises:
        BadData: cut, damaged, too short or too long.

    Source:
        RFC 1952, section 2.3.1 (CRC32, ISIZE).
    """
    members: list[bytes] = []
    filled, rest = 0, data
    while rest:
        if rest[:2] != GZIP_MAGIC and members:
            if rest.strip(b"\0"):
                raise BadData(
                    "the gzip stream", f"followed by {len(rest):,} bytes", "has something else after its end", _REMEDY
                )
            break
        member = zlib.decompressobj(wbits=31)
        try:  # one byte more than fits, so that a stream which is too long shows itself without being unpacked
            members.append(member.decompress(rest, expected - filled + 1))
        except zlib.error as error:
            raise BadData("the gzip stream", f"of {len(data):,} bytes", f"is damaged ({error})", _REMEDY) from None
        filled += len(members[-1])
        if filled > expected:
            raise BadData(
                "the gzip stream",
                f"of {len(data):,} bytes",
                f"holds more than the {expected:,} bytes its header announces",
                _REMEDY,
            )
        if not member.eof:
            raise BadData("the gzip stream", f"of {len(data):,} bytes", "ends before its end mark", _REMEDY)
        rest = member.unused_data
    if filled != expected:
        raise BadData(
            "the voxel data",
            f"of {filled:,} bytes",
            f"is shorter than the {expected:,} bytes its header announces",
            _REMEDY,
        )
    return members[0] if len(members) == 1 else b"".join(members)
