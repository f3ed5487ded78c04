"""The files that may hold DICOM images: of a folder, a list, or an archive unpacked where nothing can get out of."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from insula.errors import BadData, NoInput, TooLarge, from_os_error
from insula.io.dicom.file import starts_as_dicom
from insula.io.dicom.tar import Limits, is_tar, leads_out, unpack_tar

__all__ = ["check_archive", "gather_files", "has_dicom", "is_archive", "is_dicom", "unpack"]

_MOST_MEMBERS = 100_000
_MOST_BYTES = 8 << 30
_GREATEST_RATIO = 200
_PIECE = 1 << 20
_MOST_DIRECTORY = 20 << 20  # bytes of the list of members
_END_BYTES = (1 << 16) + 256  # that a zip's last record and its comment take at most
_NOT_FROM_HERE = "make the zip again from the series' folder"


def gather_files(paths: Sequence[Path]) -> list[Path]:
    """Every file of the folders and files named, in order; what is hidden, or is a pipe or a device, is passed over.

    Raises:
        NoInput: one does not exist, or there is no file at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _inside(path)
        elif path.is_file():
            found.append(path)
        else:
            raise NoInput("the DICOM file or folder", "", "does not exist", "check the path")
    if not found:
        raise NoInput("the DICOM folder", "", "holds no file", "name the folder with the series")
    return found


def is_dicom(path: Path) -> bool:
    """Whether a path is read as DICOM: a folder, a zip, a tar, or a file that starts as DICOM does."""
    return path.is_dir() or is_archive(path) or starts_as_dicom(path)


def has_dicom(folder: Path) -> bool:
    """Whether a folder holds a file that starts as DICOM does."""
    return any(starts_as_dicom(file) for file in _inside(folder))


def is_archive(path: Path) -> bool:
    """Whether it is a zip or a tar, by its first bytes or its name."""
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
    """A folder's files, in order; what is hidden, or is a pipe or a device, is passed over."""
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = (Path(base) / name for name in sorted(files) if not name.startswith("."))
        yield from (file for file in inside if file.is_file())


def check_archive(archive: Path) -> list[str]:
    """Look at what an archive holds, without unpacking it to the disk.

    Returns:
        Its members' names.

    Raises:
        TooLarge: it has too many members, or they would unpack to far more than they are packed in.
        BadData: it is damaged, or has members that lead out of it or are links.
    """
    if not _is_zip(archive):
        return unpack_tar(archive, None, _limits())
    with _opened(archive) as packed:
        return packed.namelist()


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or a tar under new names, so that nothing that it says of itself is believed.

    Args:
        archive: the zip or the tar.
        folder: exists; files are named 000000, 000001, ...

    Raises:
        TooLarge, BadData: as `check_archive`; or it is encrypted.
    """
    if not _is_zip(archive):
        unpack_tar(archive, folder, _limits())
        return
    with _opened(archive) as packed:
        left = _MOST_BYTES
        for number, member in enumerate(one for one in packed.infolist() if not one.is_dir()):
            with packed.open(member) as source, open(folder / f"{number:06d}", "wb") as target:
                while piece := source.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise TooLarge(
                            "the zip", "", f"unpacks to more than {_MOST_BYTES >> 30} GiB", "give one series"
                        )
                    target.write(piece)


def _limits() -> Limits:
    return Limits(members=_MOST_MEMBERS, bytes=_MOST_BYTES, ratio=_GREATEST_RATIO)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose members have been looked at; whatever goes wrong with it is said in our words."""
    try:
        _check_directory(archive)
        with zipfile.ZipFile(archive) as packed:
            _check([one for one in packed.infolist() if not one.is_dir()])
            yield packed
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, zlib.error):
        raise BadData("the zip", "", "is damaged", "make it again") from None
    except RuntimeError:  # zipfile's word for a password, and for packing that it does not know
        raise BadData(
            "the zip", "", "is encrypted, or packed in a way that cannot be read", "make it again, without a password"
        ) from None
    except OSError as error:
        raise from_os_error(error, what="the unpacked files", value="", writing=True) from None


def _check_directory(archive: Path) -> None:
    """Refuse a list of members that is longer than theirs can be, before it is read."""
    with open(archive, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES))
        end = file.read()
    found = end.rfind(b"PK\x05\x06")
    if found >= 0 and len(end) >= found + 16:
        members = int.from_bytes(end[found + 10 : found + 12], "little")
        length = int.from_bytes(end[found + 12 : found + 16], "little")
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
            raise BadData("the zip", "", "has a member that leads out of it", _NOT_FROM_HERE)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadData("the zip", "", "has a link in it", _NOT_FROM_HERE)
    size, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
    if size > _MOST_BYTES or size > _GREATEST_RATIO * max(packed, 1 << 16):
        raise TooLarge("the zip", f"of {packed:,} bytes", f"would unpack to {size:,}", "check where it comes from")
