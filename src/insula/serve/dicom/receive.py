"""Store instances received by C-STORE on disk before they are acknowledged, and find complete series."""

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
from insula.io.dicom.file import parse
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
    """A series that has received no instances for a while."""

    folder: Path
    mark: str
    """Hash of its instances' names, and the time when the last one was received."""
    caller: str
    """AE title that sent it; empty if unknown."""

    @property
    def digest(self) -> str:
        """Hash of its instances and their contents; it differs if an instance is added, or a pixel changes."""
        contents_of_files = [self.folder.name, *(path.name + contents(path) for path in self.files)]
        return hashlib.sha256("".join(contents_of_files).encode()).hexdigest()

    @property
    def files(self) -> list[Path]:
        """Paths of its instances."""
        return _instances(self.folder)

    def copy_to(self, folder: Path) -> None:
        """Copy its files to another folder, as hard links where the disk supports them."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in self.files:
            target = folder / path.name
            target.unlink(missing_ok=True)
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
        for path in (folder, folder.parent):
            sync_folder(path)


@dataclass(frozen=True)
class Study:
    """One patient's series of one study, all of them complete."""

    new: tuple[Complete, ...]
    """Series not taken yet, or with instances received since."""
    every: tuple[Complete, ...]
    """All series of the study that are still kept, including the new ones."""


class Receiver:
    """Keeps a folder for each series, named by hashes so that no path identifies a patient.

    Args:
        folder: folder of the received series; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._received: dict[str, float] = {}  # folder name -> when its last instance was received (`time.monotonic`)
        folder.mkdir(parents=True, exist_ok=True)

    def store(self, event: Event) -> int:
        """Handle a C-STORE request, and return success once the instance is on disk; other objects are passed over.

        An instance that exists already with other pixels or another geometry is refused as a duplicate.
        """
        try:
            if event.context.abstract_syntax not in _IMAGES:  # whole studies include reports and segmentations
                _log.info("an object that is not an MR image was passed over")
                return _SUCCESS
            encoded = event.encoded_dataset()
            data = parse(encoded, header_only=True)  # `event.dataset` would inflate without a limit
            series, instance = str(data.SeriesInstanceUID), str(data.SOPInstanceUID)
            patient = str(data.get("PatientID") or data.get("PatientName") or "")
            study = _hashed(f"{data.get('StudyInstanceUID', '')} {patient}")
            folder = self._folder / _hashed(f"{series} {study}")
        except Exception:  # pydicom may raise anything
            return _CANNOT_UNDERSTAND
        about = {"study": study, "caller": event.assoc.requestor.ae_title}
        try:
            with self._lock:  # or `forget` might delete the folder in between
                folder.mkdir(exist_ok=True)
                path = folder / f"{_hashed(instance)}.dcm"
                if path.exists() and not same_contents(path, encoded):
                    _log.warning("an instance was refused: it exists already with other pixels or geometry")
                    return _DUPLICATE
                if _about(folder) != about:
                    write_json(folder / _ABOUT, about)
                write_bytes(path, encoded)
                self._received[folder.name] = time.monotonic()
        except (InsulaError, OSError) as error:
            _log.error("an instance could not be stored: %s", _safe_message(error))
            return _NO_RESOURCES
        return _SUCCESS

    def complete(self, quiet_seconds: float) -> Iterator[Study]:
        """Yield every study that is quiet and has received instances since its series were taken."""
        studies: dict[str, list[tuple[Complete, float, bool]]] = {}
        for folder in sorted(self._folder.iterdir()):
            if _instances(folder):
                study = _about(folder).get("study", folder.name)
                studies.setdefault(study, []).append(self._state(folder))
        for entries in studies.values():
            quiet = all(age >= quiet_seconds for _, age, _ in entries)
            if quiet and any(new for _, _, new in entries):
                new_series = tuple(series for series, _, new in entries if new)
                yield Study(new_series, tuple(series for series, _, _ in entries))

    def take(self, series: Complete) -> None:
        """Remember that a series has been taken, in its present state."""
        write_text(series.folder / _TAKEN, series.mark)

    def forget(self, keep_seconds: float) -> None:
        """Delete series that have received no instances for this time [s]."""
        for folder in self._folder.iterdir():
            with self._lock:
                _, age, _ = self._state(folder)
                if age > keep_seconds:
                    shutil.rmtree(folder, ignore_errors=True)
                    self._received.pop(folder.name, None)

    def _state(self, folder: Path) -> tuple[Complete, float, bool]:
        """Returns a series as it is now, the seconds since its last instance, and whether it is new.

        The wall clock, which may jump or be wrong, decides only about series that an earlier process received and took.
        One that was not taken yet is as old as this process, so that no clock can complete or delete it.
        """
        files = _instances(folder)
        latest = max((path.stat().st_mtime_ns for path in files), default=0)
        names = hashlib.sha256("".join(path.name for path in files).encode()).hexdigest()
        series = Complete(folder, f"{names} {latest}", _about(folder).get("caller", ""))
        taken = folder / _TAKEN
        new = not taken.exists() or taken.read_text(encoding="utf-8") != series.mark
        past = 0.0 if new else max(time.time() - latest / 1e9, 0.0)
        now = time.monotonic()
        return series, now - self._received.setdefault(folder.name, now - past), new

    def sweep(self) -> None:
        """Delete unfinished files of a receiver that was killed."""
        for path in self._folder.rglob(TEMPORARY):
            path.unlink(missing_ok=True)


def _instances(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dcm"))


def _about(folder: Path) -> dict[str, str]:
    """Returns the study and caller stored with a series; empty for a series that an earlier version received."""
    path = folder / _ABOUT
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_NAME]


def _safe_message(error: InsulaError | OSError) -> str:
    return str(error) if isinstance(error, InsulaError) else error.strerror or type(error).__name__
