"""The scans of a served study: found among files, also those that come later, and kept in the form viewers read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from insula.errors import NoInput
from insula.predict import ExpectedScan, ResultRecord
from insula.serve.scans import write_view
from insula.study import ScanSources

__all__ = ["StudyScans"]

T = TypeVar("T")
_MOST_VIEWS = 16


class StudyScans:
    """The scans that were segmented into a folder of results.

    Args:
        arguments: files, folders or patterns with the scans.
        expected: returns where the folder says that the scan of a case is, if it does; as for `ScanSources`.
        views: a folder for scans in the form that viewers read; made when it is needed.

    Raises:
        NoInput: a folder of scans holds none, or a pattern matches no file.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        views: Path,
        expected: Callable[[str], ExpectedScan | None] = lambda _: None,
    ) -> None:
        self._sources, self._expected = ScanSources(arguments, expected=expected), expected
        self._given = bool(arguments)
        self._views, self._viewing = views, threading.Lock()

    def search(self, case: str, use: Callable[[ScanSources], T]) -> T:
        """Return what is done with the files; they are listed anew, once, if the scan is not among them.

        Args:
            case: the case whose scan is wanted.
            use: finds the scan among the files; it is called again if it raises NoInput.

        Raises:
            NoInput: there are no files, or the scan is not among them.
            InsulaError: what `use` raises.
        """
        if not self._given and self._expected(case) is None:
            raise NoInput("the scan of", case, "cannot be found without `scans`", "start the service with them")
        try:
            return use(self._sources)
        except NoInput:
            with suppress(NoInput):  # no file is left: that error names no case
                self._sources = self._sources.anew()
            return use(self._sources)

    def view(self, record: ResultRecord) -> Path:
        """Return the path of a case's scan as NIfTI on its own grid, for viewing.

        Args:
            record: of the case.

        Raises:
            NoInput: as for `search`.
            InsulaError: the scan cannot be read, or its view not be written.
        """
        facts = record["scan"]
        path = self._views / f"{facts['sha256']}-{facts.get('frame', '3d')}-{facts['axes']}.nii.gz"
        with self._viewing:
            if path.is_file():
                path.touch()
                return path
            found = self.search(record["case"], lambda sources: sources.of(record))
            self._views.mkdir(parents=True, exist_ok=True)
            write_view(path, found.scan)
            for old in sorted(self._views.glob("*.nii.gz"), key=lambda view: view.stat().st_mtime)[:-_MOST_VIEWS]:
                old.unlink(missing_ok=True)
        return path
