"""Collects the files that may hold DICOM images from folders, lists of files and safely unpacked archives."""

from __future__ import annotations

import errno
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from insula.errors import BadData, NoInput, TooLarge, from_os_error
from insula.io.dicom.file import starts_as_dicom
from insula.io.dicom.tar import ArchiveLimits, is_tar, leads_out, unpack_tar

__all__ = ["check_archive", "gather_files", "has_dicom", "is_archive", "is_dicom", "unpack"]

_MOST_MEMBERS = 100_000
_MOST_BYTES = 8 << 30
_GREATEST_RATIO = 200
_PIECE = 1 << 20
_MOST_DIRECTORY = 20 << 20  # bytes of the central directory
_END_BYTES = (1 << 16) + 256  # at most, of a zip's end record and its comment
_ZIP_AGAIN = "make the zip again from the series' folder"


def gather_files(paths: Sequence[Path]) -> list[Path]:
    """List every file in the given folders and files, in order; hidden files, pipes and devices are skipped.

    Raises:
        NoInput: a path does not exist, or there is no file at all.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _inside(path)
        elif path.is_file():
            files.append(path)
        else:
            raise NoInput("the DICOM file or folder", "", "does not exist", "check the path")
    if not files:
        raise NoInput("the DICOM folder", "", "holds no files", "name the folder with the series")
    return files


def is_dicom(path: Path) -> bool:
    """Whether a path is read as DICOM: a folder, a zip, a tar, or a file that starts as DICOM does."""
    return path.is_dir() or is_archive(path) or starts_as_dicom(path)


def has_dicom(folder: Path) -> bool:
    """Whether a folder holds a file that starts as DICOM does."""
    return any(starts_as_dicom(file) for file in _inside(folder))


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or a tar, by its first bytes or its name."""
    return _is_zip(path) or is_tar(path)


def _is_zip(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix.lower() == ".zip":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def _inside(folder: Path) -> Iterator[Path]:
    """Yield a folder's files, in order; hidden files, pipes and devices are skipped."""
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = (Path(base) / name for name in sorted(files) if not name.startswith("."))
        yield from (file for file in inside if file.is_file())


def check_archive(archive: Path) -> list[str]:
    """Check the contents of an archive without unpacking it to disk.

    Returns:
        The members' names.

    Raises:
        TooLarge: it has too many members, or its unpacked size far exceeds its packed size.
        BadData: it is damaged, or a member is a link or has a path outside the archive.
    """
    if not _is_zip(archive):
        return unpack_tar(archive, None, _limits())
    with _opened(archive) as packed:
        return packed.namelist()


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or a tar under new file names, so that no name or size in it has to be trusted.

    Args:
        archive: the zip or the tar.
        folder: an existing folder; the files in it are named 000000, 000001, ...

    Raises:
        TooLarge, BadData: as in `check_archive`, or the archive is encrypted.
    """
    if not _is_zip(archive):
        unpack_tar(archive, folder, _limits())
        return
    with _opened(archive) as packed:
        left = _MOST_BYTES
        for number, member in enumerate(info for info in packed.infolist() if not info.is_dir()):
            with packed.open(member) as source, open(folder / f"{number:06d}", "wb") as target:
                while piece := source.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise TooLarge(
                            "the zip", "", f"unpacks to more than {_MOST_BYTES >> 30} GiB", "give one series"
                        )
                    target.write(piece)


def _limits() -> ArchiveLimits:
    return ArchiveLimits(members=_MOST_MEMBERS, bytes=_MOST_BYTES, ratio=_GREATEST_RATIO)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip and check its members; errors of the zip library become errors of insula."""
    try:
        _check_directory(archive)
        with zipfile.ZipFile(archive) as packed:
            _check([info for info in packed.infolist() if not info.is_dir()])
            yield packed
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError, zlib.error, lzma.LZMAError, struct.error):
        raise BadData("the zip", "", "is damaged", "make it again") from None
    except RuntimeError:  # zipfile raises it for a password or an unknown compression method
        raise BadData(
            "the zip", "", "is encrypted, or compressed by an unknown method", "make it again, without a password"
        ) from None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # from bz2, or for a place before the file's start
            raise BadData("the zip", "", "is damaged", "make it again") from None
        raise from_os_error(error, what="the unpacked files", value="", writing=True) from None


def _check_directory(archive: Path) -> None:
    """Refuse a central directory that is too long for the allowed number of members, before reading it."""
    with open(archive, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES))
        end = file.read()
    record_at = end.rfind(b"PK\x05\x06")
    if record_at >= 0 and len(end) >= record_at + 16:
        members = int.from_bytes(end[record_at + 10 : record_at + 12], "little")
        length = int.from_bytes(end[record_at + 12 : record_at + 16], "little")
        if length > _MOST_DIRECTORY and length != 0xFFFFFFFF:
            raise TooLarge("the zip", f"of {members:,} members or more", "has too many", "give one series")
        if length == 0xFFFFFFFF and size > _MOST_DIRECTORY and b"PK\x06\x06" in end:
            length = int.from_bytes(end[(at := end.rfind(b"PK\x06\x06")) + 40 : at + 48], "little")
            if length > _MOST_DIRECTORY:
                raise TooLarge("the zip", f"with a list of {length:,} bytes", "has too many members", "give one series")


def _check(members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > _MOST_MEMBERS:
        raise TooLarge("the zip", f"of {len(members):,} members", "has too many", "give one series")
    for member in members:
        if leads_out(member.filename):
            raise BadData("the zip", "", "has a member that leads out of it", _ZIP_AGAIN)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadData("the zip", "", "has a link in it", _ZIP_AGAIN)
    size, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
    if size > _MOST_BYTES or size > _GREATEST_RATIO * max(packed, 1 << 16):
        raise TooLarge("the zip", f"of {packed:,} bytes", f"would unpack to {size:,}", "check where it comes from")
