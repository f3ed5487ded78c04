"""The one file in a form (multipart/form-data), as it comes: what `curl -F scan=@FILE` and a page's form send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import Message

from insula.errors import BadData, UsageError

__all__ = ["file_of_form", "is_form"]

_MOST_HEAD_BYTES = 1 << 14  # of what stands before the file
_LONGEST_BOUNDARY = 70  # RFC 2046, 5.1.1
_END_OF_HEAD = b"\r\n\r\n"
_BEFORE, _INSIDE, _AFTER = "before", "inside", "after"


def is_form(content_type: str) -> bool:
    """Whether a Content-Type says that a body is a form with files."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


async def file_of_form(pieces: AsyncIterator[bytes], content_type: str) -> AsyncIterator[bytes]:
    """What a form's one part holds.

    Args:
        pieces: of the body, cut anywhere.
        content_type: of the request; it tells what stands between parts.

    Yields:
        Pieces of the file.

    Raises:
        BadData: no boundary, or the form is damaged or cut.
        UsageError: several parts.
    """
    mark = b"\r\n--" + _boundary(content_type)
    left = b"\r\n"  # the first mark may stand at the very beginning
    place = _BEFORE
    async for piece in pieces:
        left += piece
        if place is _BEFORE:
            start = left.find(mark)
            if start >= 0 and (end := left.find(_END_OF_HEAD, start + len(mark))) >= 0:
                if left[start + len(mark) :].startswith(b"--"):
                    raise _damaged("holds no file")
                place, left = _INSIDE, left[end + len(_END_OF_HEAD) :]
            elif len(left) > _MOST_HEAD_BYTES:
                raise _damaged("does not begin as one")
            elif start >= 0 and left[start + len(mark) :].startswith(b"--"):
                raise _damaged("holds no file")
        if place is _INSIDE:
            at = left.find(mark)
            if at < 0:
                keep = len(mark) - 1
                if len(left) > keep:
                    yield left[:-keep]
                    left = left[-keep:]
                continue
            if at:
                yield left[:at]
            place, left = _AFTER, left[at + len(mark) :]
        if place is _AFTER:
            if len(left) >= 2 and not left.startswith(b"--"):
                rule = "holds more than one part"
                raise UsageError("the form", "", rule, "send one file, and options in the address, e.g. ?threshold=0.4")
            if len(left) > _MOST_HEAD_BYTES:
                raise _damaged("goes on after its end")
    if place is not _AFTER or not left.startswith(b"--"):
        raise _damaged("is cut")


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["content-type"] = content_type
    found = message.get_boundary()
    if not found or len(found) > _LONGEST_BOUNDARY or not found.isascii():
        raise _damaged("has no boundary in its Content-Type")
    return found.encode("ascii")


def _damaged(rule: str) -> BadData:
    return BadData("the form", "", rule, "send the file as the request's body, e.g. curl --data-binary @scan.nii.gz")
