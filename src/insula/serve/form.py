"""Extract the only file of a form (multipart/form-data) as it arrives: `curl -F scan=@FILE`, or a web form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import Message

from insula.errors import BadData, UsageError

__all__ = ["file_of_form", "is_form"]

_MOST_HEAD_BYTES = 1 << 14  # before the file's content
_LONGEST_BOUNDARY = 70  # RFC 2046, 5.1.1
_END_OF_HEAD = b"\r\n\r\n"
_BEFORE, _INSIDE, _AFTER = "before", "inside", "after"


def is_form(content_type: str) -> bool:
    """Returns whether a Content-Type announces a form with files."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


async def file_of_form(pieces: AsyncIterator[bytes], content_type: str) -> AsyncIterator[bytes]:
    """Yield the content of a form's only part.

    Args:
        pieces: pieces of the request's body, cut anywhere.
        content_type: the request's Content-Type; it names the boundary between parts.

    Yields:
        Pieces of the file.

    Raises:
        BadData: the boundary is missing, or the form is damaged or truncated.
        UsageError: the form has more than one part.
    """
    mark = b"\r\n--" + _boundary(content_type)
    left = b"\r\n"  # the body may start with the first boundary
    place = _BEFORE
    async for piece in pieces:
        left += piece
        if place is _BEFORE:
            start = left.find(mark)
            if start >= 0 and (end := left.find(_END_OF_HEAD, start + len(mark))) >= 0:
                if left[start + len(mark) :].startswith(b"--"):
                    raise _damaged("contains no file")
                place, left = _INSIDE, left[end + len(_END_OF_HEAD) :]
            elif len(left) > _MOST_HEAD_BYTES:
                raise _damaged("does not start with its boundary")
            elif start >= 0 and left[start + len(mark) :].startswith(b"--"):
                raise _damaged("contains no file")
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
                rule = "contains more than one part"
                raise UsageError("the form", "", rule, "send one file, and options in the address, e.g. ?threshold=0.4")
            if len(left) > _MOST_HEAD_BYTES:
                raise _damaged("continues after its last boundary")
    if place is not _AFTER or not left.startswith(b"--"):
        raise _damaged("is truncated")


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_boundary()
    if not boundary or len(boundary) > _LONGEST_BOUNDARY or not boundary.isascii():
        raise _damaged("has no valid boundary in its Content-Type")
    return boundary.encode("ascii")


def _damaged(rule: str) -> BadData:
    return BadData("the form", "", rule, "send the file as the request's body, e.g. curl --data-binary @scan.nii.gz")
