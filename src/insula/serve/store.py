"""Where the service keeps things: the jobs' file, and a folder for each job."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from insula.errors import NoInput
from insula.io.atomic import sync_folder
from insula.predict import ResultPaths, result_paths
from insula.serve.database import RESERVE, Reserve, is_whole

__all__ = ["JobFolder", "Store"]

_log = logging.getLogger(__name__)
_NAME = "scan"
_BESIDE = ("-wal", "-shm")  # SQLite's own files


@dataclass(frozen=True)
class JobFolder:
    """The files of one job."""

    path: Path

    @property
    def results(self) -> ResultPaths:
        """What `insula segment` would write."""
        return result_paths(self.path / "results", _NAME)

    @property
    def scan(self) -> Path:
        """The image on its own grid, for viewers that read no DICOM."""
        return self.path / "scan.nii.gz"

    @property
    def archive(self) -> Path:
        """All results in one zip; written last."""
        return self.path / "results.zip"

    def clear(self) -> None:
        """Take away what a job that came to nothing had written: on a full disk that is room."""
        shutil.rmtree(self.results.record.parent, ignore_errors=True)
        for path in (self.scan, self.archive, *self.path.glob("*.part")):
            path.unlink(missing_ok=True)

    def upload(self) -> Path:
        """What was sent.

        Raises:
            NoInput: it is gone.
        """
        found = next(self.path.glob("upload*"), None)
        if found is None:
            raise NoInput("the upload", "", "is no longer on the disk", "send it again")
        return found


@dataclass(frozen=True)
class Store:
    """A folder that one service owns."""

    path: Path

    @property
    def database(self) -> Path:
        """The jobs."""
        return self.path / "jobs.sqlite"

    @property
    def reserve(self) -> Reserve:
        """Room for the jobs on a full disk."""
        return Reserve(self.database.with_name(RESERVE))

    @property
    def settings(self) -> Path:
        """What the workers read at their start."""
        return self.path / "settings.json"

    @property
    def incoming(self) -> Path:
        """Uploads that are not complete."""
        return self.path / "incoming"

    @property
    def quarantine(self) -> Path:
        """What no job is known for, and damaged files of jobs; only people delete it."""
        return self.path / "quarantine"

    def job(self, id: str) -> JobFolder:
        """A job's folder."""
        return JobFolder(self.path / "jobs" / id)

    def temporary(self, worker: str) -> Path:
        """Where a worker unpacks."""
        return self.path / "tmp" / worker

    def remove(self, id: str) -> None:
        """A job's files; out of the way first, so that a worker that is still at it can add none."""
        away = self._trash / id
        try:
            os.rename(self.job(id).path, away)
        except FileNotFoundError:
            return
        shutil.rmtree(away, ignore_errors=True)

    def mend(self) -> None:
        """Put a damaged file of jobs into quarantine, so that a new one can be made.

        Raises:
            Busy, IOFault: another program has the file, or it cannot be read.
        """
        damaged = not is_whole(self.database)
        lost = not self.database.exists() or not self.database.stat().st_size
        beside = [path for end in _BESIDE if (path := self.path / f"{self.database.name}{end}").exists()]
        if damaged or (lost and beside):  # SQLite would delete a log without its file
            for path in (self.database, *beside):
                if path.exists():
                    self._set_aside(path)
            _log.error("the file of jobs is damaged or gone; what is left of it is in %s", self.quarantine.name)

    def sweep(self, known: set[str]) -> None:
        """Take away what a service that died left: unfinished uploads and what was unpacked.

        Folders that belong to no job may be all that is left of jobs whose entries were lost. They go into quarantine, and are never deleted by the service;
        those of jobs that are known again, from a backup of the entries, come back.

        Args:
            known: the ids of all jobs.
        """
        for folder in (self.incoming, self._trash, self.path / "tmp"):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.incoming, self._trash, self.path / "tmp", self.path / "jobs"):
            folder.mkdir(parents=True, exist_ok=True)
        unknown = [path for path in (self.path / "jobs").iterdir() if path.name not in known]
        for path in unknown:
            self._set_aside(path)
        if unknown:
            _log.warning("%d folders belong to no job that is known, and were put into quarantine", len(unknown))
        for id in known:
            if (self.quarantine / id).is_dir() and not self.job(id).path.exists():
                os.rename(self.quarantine / id, self.job(id).path)
        if count := len(list(self.quarantine.iterdir())) if self.quarantine.is_dir() else 0:
            _log.warning(
                "%d files and folders lie in quarantine: restore a backup of %s, or delete them",
                count,
                self.database.name,
            )

    def _set_aside(self, path: Path) -> None:
        self.quarantine.mkdir(exist_ok=True)
        target = self.quarantine / path.name
        if target.exists():
            target = self.quarantine / f"{path.name}-{secrets.token_hex(4)}"
        os.rename(path, target)
        sync_folder(self.quarantine)

    @property
    def _trash(self) -> Path:
        return self.path / "trash"
