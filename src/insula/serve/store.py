"""Where the service keeps things: the jobs' file, and a folder for each job."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

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
        """What was sent."""
        return next(self.path.glob("upload*"))


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

    def remove(self, id: str) -> None:
        """A job's files."""
        shutil.rmtree(self.job(id).path, ignore_errors=True)

    def sweep(self, known: set[str]) -> None:
        """Take away what a service that died left: unfinished uploads, and folders that belong to no job."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        for folder in (self.incoming, self.path / "jobs"):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.path / "jobs").iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
