"""The service's folder: the job database, and a folder for each job."""

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

__all__ = ["JobFolder", "JobStore"]

_log = logging.getLogger(__name__)
_NAME, _RESULTS = "scan", "results"
_BESIDE = ("-wal", "-shm")  # SQLite's own files


@dataclass(frozen=True)
class JobFolder:
    """The files of one job."""

    path: Path

    @property
    def results(self) -> ResultPaths:
        """Paths of the present results, named as `insula segment` names them."""
        return result_paths(self._folders()[-1], _NAME)

    @property
    def next_results(self) -> ResultPaths:
        """Paths of the results that take the place of the present ones once their folder exists."""
        return result_paths(self.path / f"{_RESULTS}-{len(self._folders()) + 1}", _NAME)

    @property
    def scan(self) -> Path:
        """The image on its own grid, for viewers that do not read DICOM."""
        return self.path / "scan.nii.gz"

    @property
    def archive(self) -> Path:
        """Zip of all present results; written last."""
        return self._folders()[-1].with_suffix(".zip")

    def clear(self) -> None:
        """Delete the files that an unsuccessful job has written, which frees space on a full disk."""
        for folder in self._folders():
            shutil.rmtree(folder, ignore_errors=True)
        for path in (self.scan, *self.path.glob("*.zip"), *self.path.glob("*.part")):
            path.unlink(missing_ok=True)

    def forget_earlier(self) -> None:
        """Delete the results before the last but one, which a download may still be reading."""
        for folder in self._folders()[:-2]:
            for path in (folder.with_suffix(".zip"), *folder.iterdir()):
                path.unlink(missing_ok=True)

    def upload(self) -> Path:
        """Returns the path of the upload.

        Raises:
            NoInput: the upload is gone.
        """
        upload = next(self.path.glob("upload*"), None)
        if upload is None:
            raise NoInput("the upload", "", "is no longer on the disk", "send it again")
        return upload

    def _folders(self) -> list[Path]:
        """Return the folders of results, the present one last; each correction adds one, `results-2` first."""
        folders = [self.path / _RESULTS]
        while (later := self.path / f"{_RESULTS}-{len(folders) + 1}").is_dir():
            folders.append(later)
        return folders


@dataclass(frozen=True)
class JobStore:
    """The folder of one service."""

    path: Path

    @property
    def database(self) -> Path:
        """The job database."""
        return self.path / "jobs.sqlite"

    @property
    def reserve(self) -> Reserve:
        """Disk space reserved for the job database."""
        return Reserve(self.database.with_name(RESERVE))

    @property
    def settings(self) -> Path:
        """Settings, which the workers read when they start."""
        return self.path / "settings.json"

    @property
    def incoming(self) -> Path:
        """Folder of incomplete uploads."""
        return self.path / "incoming"

    @property
    def quarantine(self) -> Path:
        """Folder of damaged databases, and of job folders without a job; only people delete its content."""
        return self.path / "quarantine"

    def job(self, id: str) -> JobFolder:
        """Returns the folder of a job."""
        return JobFolder(self.path / "jobs" / id)

    def temporary(self, worker: str) -> Path:
        """Returns the folder in which a worker unpacks archives."""
        return self.path / "tmp" / worker

    def remove(self, id: str) -> None:
        """Delete a job's files; they are moved away first, so that a worker still running the job can add none."""
        away = self._trash / id
        try:
            os.rename(self.job(id).path, away)
        except FileNotFoundError:
            return
        shutil.rmtree(away, ignore_errors=True)

    def mend(self) -> None:
        """Move a damaged job database into quarantine, so that a new one can be created.

        Raises:
            Busy, IOFault: another program has locked the database, or it cannot be read.
        """
        damaged = not is_whole(self.database)
        lost = not self.database.exists() or not self.database.stat().st_size
        beside = [path for end in _BESIDE if (path := self.path / f"{self.database.name}{end}").exists()]
        if damaged or (lost and beside):  # SQLite would delete a log without its database
            for path in (self.database, *beside):
                if path.exists():
                    self._set_aside(path)
            _log.error("the job database is damaged or missing; its remains are in %s", self.quarantine.name)

    def sweep(self, known: set[str]) -> None:
        """Delete what a killed service left behind: unfinished uploads and unpacked archives.

        Folders that belong to no job may be all that is left of jobs whose database entries were lost. They are moved
        into quarantine, and never deleted by the service. They are moved back when their jobs are known again, from a
        backup of the database.

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
            _log.warning("%d folders belong to no job and were moved into quarantine", len(unknown))
        for id in known:
            if (self.quarantine / id).is_dir() and not self.job(id).path.exists():
                os.rename(self.quarantine / id, self.job(id).path)
        if count := len(list(self.quarantine.iterdir())) if self.quarantine.is_dir() else 0:
            _log.warning(
                "%d files and folders are in quarantine: restore a backup of %s, or delete them",
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
