"""Receive an upload piece by piece to disk, with limits on size and time, and identify its format."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from insula.errors import BadData, TooLarge, from_os_error
from insula.io.atomic import sync_folder
from insula.io.bytes import read_head
from insula.io.dicom import check_archive, is_archive, starts_as_dicom
from insula.io.inflate import peel
from insula.io.nifti_header import starts_as_nifti

__all__ = ["Received", "TooSlow", "Unknown", "keep", "receive", "recognise"]

_LOOK = 512
_LEAST_RATE = 10_000  # bytes a second; a slower sender only occupies an upload slot
_ENDINGS = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz"}
_NIFTI = re.compile(r"\.nii(\.(gz|bz2|xz))?$", re.IGNORECASE)


class TooSlow(BadData):
    """The sender paused for too long, or sent too slowly."""


class Unknown(BadData):
    """The upload is neither NIfTI nor DICOM."""


@dataclass(frozen=True)
class Received:
    """Digest and size of a complete upload."""

    sha256: str
    bytes: int


async def receive(
    pieces: AsyncIterator[bytes], path: Path, *, most_bytes: int, pause_seconds: float, total_seconds: float = 3600.0
) -> Received:
    """Write an upload to a file as it arrives.

    Args:
        pieces: pieces of the upload, as they arrive.
        path: the file to write.
        most_bytes: the largest size accepted [bytes].
        pause_seconds: the longest wait for the next piece [s]; a longer upload must arrive at 10 kB a second or more.
        total_seconds: the longest duration of the whole upload [s].

    Returns:
        The digest and size of the upload.

    Raises:
        TooLarge: more than `most_bytes` has arrived, whatever size the sender announced; raised at once.
        TooSlow: the sender paused for too long, or sent too slowly.
        BadData: the upload is empty.
    """
    digest, count, begun = hashlib.sha256(), 0, time.monotonic()
    with _disk_errors(), open(path, "wb") as file:
        while True:
            duration = time.monotonic() - begun
            limits = {
                f"paused for more than {pause_seconds:g} seconds": pause_seconds,
                f"arrived at less than {_LEAST_RATE // 1000} kB a second": 1.2 * pause_seconds
                + count / _LEAST_RATE
                - duration,
                f"took longer than {total_seconds / 60:g} minutes": total_seconds - duration,
            }
            rule = min(limits, key=lambda name: limits[name])
            try:
                piece = await asyncio.wait_for(anext(pieces), max(limits[rule], 0))
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise TooSlow("the upload", "", rule, "send it again, over a faster connection") from None
            count += len(piece)
            if count > most_bytes:
                raise TooLarge("the upload", "", f"is larger than {most_bytes // 10**6} MB", "send one scan")
            digest.update(piece)
            file.write(piece)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())  # an upload is on the disk before it becomes a job
    if not count:
        raise BadData(
            "the upload", "", "is empty", "send the file as the request's body, e.g. curl --data-binary @scan.nii.gz"
        )
    return Received(digest.hexdigest(), count)


def keep(part: Path, path: Path) -> None:
    """Move an upload into a new folder of its own, and sync both to disk before it is acknowledged."""
    with _disk_errors():
        path.parent.mkdir()
        part.rename(path)
        for folder in (path.parent, path.parent.parent):
            sync_folder(folder)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise from_os_error(error, what="the upload", value="", writing=True) from None


def recognise(path: Path) -> str:
    """Returns the file ending that fits a file's content: .nii (also with .gz, .bz2 or .xz), .zip, .tar or .dcm.

    Raises:
        Unknown: the content is in none of these formats.
        BadData: the archive is damaged, or has paths that lead out of it.
        TooLarge: the archive's content is too large.
    """
    head, kinds = peel(lambda count: read_head(path, count), _LOOK)
    if starts_as_nifti(head):
        return ".nii" + "".join(_ENDINGS[kind] for kind in reversed(kinds))
    if starts_as_dicom(path):
        return ".dcm"
    if is_archive(path):
        if any(_NIFTI.search(name) for name in check_archive(path)):
            rule = "contains NIfTI, but archives are read as DICOM"
            raise Unknown("the archive", "", rule, "send the .nii or .nii.gz itself")
        return ".zip" if head.startswith(b"PK") else ".tar"
    if kinds:
        rule = f"is compressed with {kinds[0]}, but contains neither NIfTI nor DICOM"
        raise Unknown("the upload", "", rule, "send the .nii.gz file, or a zip or tar of a DICOM series")
    rule = "is neither NIfTI nor DICOM"
    raise Unknown("the upload", "", rule, "send .nii, .nii.gz, or a zip or tar of a DICOM series")
