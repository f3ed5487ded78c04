"""Where the service keeps things: the jobs' file, and a folder for each job."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from insula.errors import NoInput
from insula.predict import ResultPaths, result_paths

__all__ = ["JobFolder", "Store"]

_NAME = "scan"


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
    def settings(self) -> Path:
        """What the workers read at their start."""
        return self.path / "settings.json"

    @property
    def incoming(self) -> Path:
        """Uploads that are not complete."""
        return self.path / "incoming"

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

    def sweep(self, known: set[str]) -> None:
        """Take away what a service that died left: unfinished uploads, what was unpacked, and folders that belong to no job."""
        for folder in (self.incoming, self._trash, self.path / "tmp"):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.incoming, self._trash, self.path / "tmp", self.path / "jobs"):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.path / "jobs").iterdir():
            if folder.name not in known:
                self.remove(folder.name)

    @property
    def _trash(self) -> Path:
        return self.path / "trash"
