"""An upload, piece by piece to the disk: capped, timed, and looked at before it becomes a job."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from insula.errors import BadData, TooLarge
from insula.io.dicom import check_zip

__all__ = ["Received", "TooSlow", "Unknown", "receive", "recognise"]

_NIFTI = {(348).to_bytes(4, "little"), (348).to_bytes(4, "big"), (540).to_bytes(4, "little"), (540).to_bytes(4, "big")}


class TooSlow(BadData):
    """The sender paused for too long."""


class Unknown(BadData):
    """Neither NIfTI nor DICOM."""


@dataclass(frozen=True)
class Received:
    """What has come."""

    sha256: str
    bytes: int


async def receive(pieces: AsyncIterator[bytes], path: Path, *, most_bytes: int, pause_seconds: float) -> Received:
    """Write what comes to a file.

    Raises:
        TooLarge: as soon as more has come than is taken, whatever the sender had announced.
        TooSlow: nothing came for so long.
        BadData: nothing came at all.
    """
    digest, count = hashlib.sha256(), 0
    with open(path, "wb") as file:
        while True:
            try:
                piece = await asyncio.wait_for(anext(pieces), pause_seconds)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise TooSlow(
                    "the upload", "", f"paused for more than {pause_seconds:g} seconds", "send it again"
                ) from None
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


def recognise(path: Path) -> str:
    """The ending that a file's first bytes call for: .nii, .nii.gz, .zip or .dcm.

    Raises:
        Unknown: it is none of them.
        BadData: a zip that leads out of itself or is damaged.
        TooLarge: a zip that holds too much.
    """
    with open(path, "rb") as file:
        head = file.read(132)
    if head[:4] in _NIFTI:
        return ".nii"
    if head[:2] == b"\x1f\x8b":
        if _first_bytes(path) not in _NIFTI:
            raise Unknown("the upload", "", "is packed by gzip, but no NIfTI is in it", "send a .nii.gz file")
        return ".nii.gz"
    if head[:2] == b"PK":
        check_zip(path)
        return ".zip"
    if head[128:] == b"DICM":
        return ".dcm"
    raise Unknown("the upload", "", "is neither NIfTI nor DICOM", "send .nii, .nii.gz, or a zip of a DICOM series")


def _first_bytes(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(4)
    except (OSError, EOFError, zlib.error):
        raise BadData("the upload", "", "is cut or damaged", "send it again") from None
