"""An upload, piece by piece to the disk: capped, timed, and looked at before it becomes a job."""

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
_LEAST_RATE = 10_000  # bytes a second; a byte every now and then is no upload
_ENDINGS = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz"}
_NIFTI = re.compile(r"\.nii(\.(gz|bz2|xz))?$", re.IGNORECASE)


class TooSlow(BadData):
    """The sender paused for too long."""


class Unknown(BadData):
    """Neither NIfTI nor DICOM."""


@dataclass(frozen=True)
class Received:
    """What has come."""

    sha256: str
    bytes: int


async def receive(
    pieces: AsyncIterator[bytes], path: Path, *, most_bytes: int, pause_seconds: float, total_seconds: float = 3600.0
) -> Received:
    """Write what comes to a file.

    Args:
        pieces: as they come.
        path: the file.
        most_bytes: that are taken.
        pause_seconds: in which each next piece has to come. What takes longer altogether has to come at 10 kB a second.
        total_seconds: in which all has to come.

    Raises:
        TooLarge: as soon as more has come than is taken, whatever the sender had announced.
        TooSlow: nothing came for so long, or it came too slowly.
        BadData: nothing came at all.
    """
    digest, count, begun = hashlib.sha256(), 0, time.monotonic()
    with _disk_errors(), open(path, "wb") as file:
        while True:
            passed = time.monotonic() - begun
            limits = {
                f"paused for more than {pause_seconds:g} seconds": pause_seconds,
                f"came at less than {_LEAST_RATE // 1000} kB a second": 1.2 * pause_seconds
                + count / _LEAST_RATE
                - passed,
                f"took longer than {total_seconds / 60:g} minutes": total_seconds - passed,
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
        await asyncio.to_thread(os.fsync, file.fileno())  # what becomes a job is on the disk
    if not count:
        raise BadData(
            "the upload", "", "is empty", "send the file as the request's body, e.g. curl --data-binary @scan.nii.gz"
        )
    return Received(digest.hexdigest(), count)


def keep(part: Path, path: Path) -> None:
    """Move an upload into a new folder of its own, on the disk for good before it is acknowledged."""
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
    """The ending that a file's content calls for: .nii, perhaps with .gz, .bz2 or .xz, or .zip, .tar or .dcm.

    Raises:
        Unknown: it is none of them.
        BadData: an archive that leads out of itself or is damaged.
        TooLarge: an archive that holds too much.
    """
    head, kinds = peel(lambda count: read_head(path, count), _LOOK)
    if starts_as_nifti(head):
        return ".nii" + "".join(_ENDINGS[kind] for kind in reversed(kinds))
    if starts_as_dicom(path):
        return ".dcm"
    if is_archive(path):
        if any(_NIFTI.search(name) for name in check_archive(path)):
            rule = "holds NIfTI, and archives are read as DICOM"
            raise Unknown("the archive", "", rule, "send the .nii or .nii.gz itself")
        return ".zip" if head.startswith(b"PK") else ".tar"
    if kinds:
        rule = f"is packed by {kinds[0]}, but neither NIfTI nor DICOM is in it"
        raise Unknown("the upload", "", rule, "send the .nii.gz file, or a zip or tar of a DICOM series")
    rule = "is neither NIfTI nor DICOM"
    raise Unknown("the upload", "", rule, "send .nii, .nii.gz, or a zip or tar of a DICOM series")
