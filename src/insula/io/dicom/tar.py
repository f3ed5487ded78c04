"""Unpacks a tar, plain or compressed, in one pass without trusting its headers."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, ClassVar, Self, cast

from insula.errors import BadData, InsulaError, TooLarge, from_os_error
from insula.io.bytes import read_head
from insula.io.inflate import Inflating, peel

__all__ = ["ArchiveLimits", "is_tar", "leads_out", "unpack_tar"]

_NAMES = (".tar", ".tgz", ".tar.gz", ".tbz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
_BLOCK = 512
_PIECE = 1 << 20
_MOST_NAME_BYTES = 1 << 16  # of an extension header, which gives the next member a longer name
_MOST_NAMES_BYTES = 20 << 20  # of all extension headers, which are kept in memory
_EXTENSIONS = frozenset(b"LKxgX")
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_AGAIN = "make it again"
_TAR_AGAIN = "make it again from the series' folder, with the files themselves"


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """The largest archive that is accepted."""

    members: int
    bytes: int
    """Greatest unpacked size."""
    ratio: int
    """Greatest ratio of unpacked to packed size."""


def is_tar(path: Path) -> bool:
    """Whether a file is a tar, plain or compressed, by its first header or its name."""
    if not path.is_file():
        return False
    if path.name.lower().endswith(_NAMES):
        return True
    try:
        head, _ = peel(lambda count: read_head(path, count), _BLOCK)
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")  # raises if the checksum is wrong
    except (InsulaError, tarfile.TarError, ValueError):
        return False
    return True


def leads_out(name: str) -> bool:
    """Whether a member's name leads out of the folder it is unpacked to, on any operating system."""
    name = name.replace("\\", "/")
    if name.startswith("/") or (name[1:3] == ":/" and name[0].isalpha()):
        return True
    depth = 0
    for part in PurePosixPath(name).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def unpack_tar(archive: Path, folder: Path | None, limits: ArchiveLimits) -> list[str]:
    """Unpack a tar under new file names, or only check it.

    Args:
        archive: the tar.
        folder: an existing folder; the files in it are named 000000, 000001, ...; None to check only.
        limits: the largest archive that is accepted.

    Returns:
        The members' names.

    Raises:
        TooLarge: it has too many members, or its unpacked size is too large.
        BadData: it is damaged or truncated, holds members other than files, or has members that lead out of it.
    """
    names: list[str] = []
    left = limits.bytes
    with _opened(archive, limits) as packed:
        for member in packed:
            _check(member)
            if member.isdir():
                continue
            names.append(member.name)
            source = cast(IO[bytes], packed.extractfile(member))
            with ExitStack() as stack:
                target = stack.enter_context(open(folder / f"{len(names) - 1:06d}", "wb")) if folder else None
                while piece := source.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        rule = f"unpacks to more than {limits.bytes >> 30} GiB"
                        raise TooLarge("the tar", "", rule, "give one series")
                    if target is not None:
                        target.write(piece)
    return names


@contextmanager
def _opened(archive: Path, limits: ArchiveLimits) -> Iterator[tarfile.TarFile]:
    """Open a tar for one pass; on leaving, it has been read to its end and every checksum verified."""
    headers = _headers(limits)
    try:
        _, kinds = peel(lambda count: read_head(archive, count), _BLOCK)
        with open(archive, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            source: io.BufferedReader = file
            for kind in kinds:
                most = min(2 * limits.bytes, limits.ratio * max(size, 1 << 16))
                source = io.BufferedReader(Inflating(source, kind, most=most), _PIECE)
            with tarfile.open(fileobj=source, mode="r|", tarinfo=headers, errors="surrogateescape") as packed:
                yield packed
            if not headers.ended:
                raise BadData("the tar", "", "is damaged, or ends before its end mark", _AGAIN)
            while rest := source.read(_PIECE):
                if rest.strip(b"\0"):
                    raise BadData("the tar", "", "has data after its end mark", _AGAIN)
    except (tarfile.TarError, RecursionError, ValueError, OverflowError, EOFError):
        raise BadData("the tar", "", "is damaged, or ends before its end mark", _AGAIN) from None
    except OSError as error:
        raise from_os_error(error, what="the unpacked files", value="", writing=True) from None


class _Header(tarfile.TarInfo):
    ended: ClassVar[bool] = False
    """Whether the end mark was read."""


def _headers(limits: ArchiveLimits) -> type[_Header]:
    """Return a header class that counts headers and refuses names of megabytes before they are read."""

    class Counted(_Header):
        count = names = 0

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            if len(buf) == _BLOCK and not any(buf):
                Counted.ended = True
            header = super().frombuf(buf, encoding, errors)
            Counted.count += 1
            if Counted.count > 3 * limits.members or header.size < 0:
                raise TooLarge("the tar", f"of {Counted.count:,} headers", "has too many", "give one series")
            if header.type[0] in _EXTENSIONS:
                Counted.names += header.size
                if header.size > _MOST_NAME_BYTES or Counted.names > _MOST_NAMES_BYTES:
                    raise TooLarge(
                        "the tar", f"with {header.size:,} bytes of a name", "has names that are too long", _AGAIN
                    )
            if header.isreg() and header.size > limits.bytes:
                raise TooLarge("the tar", f"with a member of {header.size:,} bytes", "is too large", "give one series")
            return header

    return Counted


def _check(member: tarfile.TarInfo) -> None:
    if leads_out(member.name):
        raise BadData("the tar", "", "has a member that leads out of it", _TAR_AGAIN)
    if member.issym() or member.islnk():
        raise BadData("the tar", "", "has a link in it", _TAR_AGAIN)
    if not member.isdir() and (member.type not in _PLAIN or member.issparse()):
        raise BadData("the tar", "", "has members other than files in it", _TAR_AGAIN)
