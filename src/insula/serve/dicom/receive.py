"""What comes by C-STORE, on the disk before it is acknowledged; and which series are complete."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from insula.errors import InsulaError
from insula.io import write_bytes, write_json, write_text
from insula.io.atomic import TEMPORARY, sync_folder
from insula.serve.dicom.contents import contents, same_contents

if TYPE_CHECKING:
    from pynetdicom.events import Event

__all__ = ["Complete", "Receiver", "Study"]

_log = logging.getLogger(__name__)
_SUCCESS, _DUPLICATE, _NO_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0x0111, 0xA700, 0xC000
_IMAGES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
"""MR Image, Enhanced MR Image, Legacy Converted Enhanced MR Image Storage (DICOM PS3.4 B.5)."""
_TAKEN, _ABOUT = ".taken", ".about.json"
_NAME = 24  # hexadecimal digits of a hash


@dataclass(frozen=True)
class Complete:
    """A series of which nothing more has come for a while."""

    folder: Path
    mark: str
    """Hash of its instances and of when the last of them came."""
    caller: str
    """The AE title that sent it; empty where that is not known."""

    @property
    def digest(self) -> str:
        """Hash of its instances and what is in them: the same series with one more, or with other pixels, is another."""
        found = [self.folder.name, *(path.name + contents(path) for path in self.files)]
        return hashlib.sha256("".join(found).encode()).hexdigest()

    @property
    def files(self) -> list[Path]:
        """Its instances."""
        return _instances(self.folder)

    def copy_to(self, folder: Path) -> None:
        """Its files in another folder, as links where the disk can."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in self.files:
            target = folder / path.name
            target.unlink(missing_ok=True)
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
        for made in (folder, folder.parent):
            sync_folder(made)


@dataclass(frozen=True)
class Study:
    """One patient's series of one study, all of them complete."""

    new: tuple[Complete, ...]
    """What has not been looked at, or of which something has come since."""
    every: tuple[Complete, ...]
    """These, and what is still kept of those before."""


class Receiver:
    """A folder for each series, named by hashes: neither folder nor file says whose it is.

    Args:
        folder: where series lie until they have been kept long enough.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def store(self, event: Event) -> int:
        """Handle a C-STORE request: success is said once the instance is on the disk, or is no image and is passed over.

        An instance that is there already with other pixels, or in another place, is refused as a duplicate.
        """
        try:
            if (
                event.context.abstract_syntax not in _IMAGES
            ):  # who sends a whole study sends reports and segmentations too
                _log.info("an object that is no MR image was passed over")
                return _SUCCESS
            data = event.dataset
            series, instance = str(data.SeriesInstanceUID), str(data.SOPInstanceUID)
            patient = str(data.get("PatientID") or data.get("PatientName") or "")
            study = _hashed(f"{data.get('StudyInstanceUID', '')} {patient}")
            folder = self._folder / _hashed(f"{series} {study}")
            encoded = event.encoded_dataset()
        except Exception:  # whatever pydicom cannot read
            return _CANNOT_UNDERSTAND
        about = {"study": study, "caller": event.assoc.requestor.ae_title}
        try:
            with self._lock:  # or it might be forgotten between the two
                folder.mkdir(exist_ok=True)
                path = folder / f"{_hashed(instance)}.dcm"
                if path.exists() and not same_contents(path, encoded):
                    _log.warning(
                        "an instance that is here already came with other pixels, or in another place: refused"
                    )
                    return _DUPLICATE
                if _about(folder) != about:
                    write_json(folder / _ABOUT, about)
                write_bytes(path, encoded)
        except (InsulaError, OSError) as error:
            _log.error("an instance could not be stored: %s", _told(error))
            return _NO_RESOURCES
        return _SUCCESS

    def complete(self, quiet_seconds: float) -> Iterator[Study]:
        """Every study that is quiet and of which something has come, be it once more, since its series were taken."""
        studies: dict[str, list[tuple[Complete, float, bool]]] = {}
        for folder in sorted(self._folder.iterdir()):
            files = _instances(folder)
            if not files:
                continue
            latest = max(path.stat().st_mtime_ns for path in files)
            names = hashlib.sha256("".join(path.name for path in files).encode()).hexdigest()
            about = _about(folder)
            series = Complete(folder, f"{names} {latest}", about.get("caller", ""))
            taken = folder / _TAKEN
            new = not taken.exists() or taken.read_text(encoding="utf-8") != series.mark
            studies.setdefault(about.get("study", folder.name), []).append((series, latest / 1e9, new))
        for found in studies.values():
            quiet = all(time.time() - latest >= quiet_seconds for _, latest, _ in found)
            if quiet and any(new for _, _, new in found):
                yield Study(tuple(one for one, _, new in found if new), tuple(one for one, _, _ in found))

    def take(self, series: Complete) -> None:
        """Remember that it has been looked at."""
        write_text(series.folder / _TAKEN, series.mark)

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


def _instances(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dcm"))


def _about(folder: Path) -> dict[str, str]:
    """What stands beside a series; nothing for one that an earlier version received."""
    path = folder / _ABOUT
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_NAME]


def _told(error: InsulaError | OSError) -> str:
    return str(error) if isinstance(error, InsulaError) else error.strerror or type(error).__name__
