"""What comes by C-STORE, on the disk before it is acknowledged; and which series are complete."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from insula.errors import InsulaError
from insula.io import write_bytes, write_text
from insula.io.atomic import TEMPORARY, sync_folder

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.events import Event

__all__ = ["Complete", "Receiver"]

_log = logging.getLogger(__name__)
_SUCCESS, _NO_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_IMAGES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
"""MR Image, Enhanced MR Image, Legacy Converted Enhanced MR Image Storage (DICOM PS3.4 B.5)."""
_TAKEN = ".taken"
_NAME = 24  # hexadecimal digits of a hash


@dataclass(frozen=True)
class Complete:
    """A series of which nothing more has come for a while."""

    folder: Path
    digest: str
    """Of its instances: the same series with one more is another."""
    latest: int
    """When its last instance came [ns since 1970]."""

    def copy_to(self, folder: Path) -> None:
        """Its files in another folder, as links where the disk can."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in _instances(self.folder):
            target = folder / path.name
            target.unlink(missing_ok=True)
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
        for made in (folder, folder.parent):
            sync_folder(made)


class Receiver:
    """A folder for each series, named by hashes: neither folder nor file says whose it is.

    Args:
        folder: where series lie until they have been kept long enough.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def store(self, event: Event) -> int:
        """Handle a C-STORE request: success is said once the instance is on the disk, or is no image and is passed over."""
        try:
            series, instance = str(event.dataset.SeriesInstanceUID), str(event.dataset.SOPInstanceUID)
        except Exception:  # whatever pydicom cannot read
            return _CANNOT_UNDERSTAND
        if event.context.abstract_syntax not in _IMAGES:  # who sends a whole study sends reports and segmentations too
            _log.info("an object that is no MR image was passed over")
            return _SUCCESS
        folder = self._folder / _hashed(series)
        try:
            data = event.encoded_dataset()
            with self._lock:  # or it might be forgotten between the two
                folder.mkdir(exist_ok=True)
                write_bytes(folder / f"{_hashed(instance)}.dcm", data)
        except (InsulaError, OSError) as error:
            _log.error("an instance could not be stored: %s", error)
            return _NO_RESOURCES
        return _SUCCESS

    def complete(self, quiet_seconds: float) -> Iterator[Complete]:
        """Every series that is quiet and of which something has come, be it once more, since it was taken."""
        for folder in sorted(self._folder.iterdir()):
            files = _instances(folder)
            latest = max((path.stat().st_mtime_ns for path in files), default=0)
            if not files or time.time() - latest / 1e9 < quiet_seconds:
                continue
            digest = hashlib.sha256("".join(path.name for path in files).encode()).hexdigest()
            taken = folder / _TAKEN
            if not taken.exists() or taken.read_text(encoding="utf-8") != f"{digest} {latest}":
                yield Complete(folder, digest, latest)

    def take(self, series: Complete) -> None:
        """Remember that it has become a job."""
        write_text(series.folder / _TAKEN, f"{series.digest} {series.latest}")

    def forget(self, keep_seconds: float) -> None:
        """Delete series of which nothing has come for so long."""
        for folder in self._folder.iterdir():
            with self._lock:
                times = [path.stat().st_mtime for path in _instances(folder)]
                if time.time() - max(times, default=folder.stat().st_mtime) > keep_seconds:
                    shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Take away what a receiver that died had not finished."""
        for path in self._folder.rglob(TEMPORARY):
            path.unlink(missing_ok=True)


def storage_node(title: str, callers: Sequence[str]) -> ApplicationEntity:
    """An application entity that takes every kind of object in every transfer syntax, so that whole studies may come, and answers C-ECHO."""
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

    node = AE(ae_title=title)
    node.require_calling_aet = list(callers)
    node.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        node.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    return node


def _instances(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dcm"))


def _hashed(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:_NAME]
