"""An output folder that only one run writes at a time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from insula.errors import CannotCreate, from_os_error
from insula.io.atomic import TEMPORARY, write_bytes

__all__ = ["OTHERS_PATIENCE_S", "FolderInUse", "OutputFolder"]

OTHERS_PATIENCE_S = 60.0
"""How long to wait for other runs that write pages and tables into the same folder [s]."""
_LOCK = ".insula.lock"


class FolderInUse(CannotCreate):
    """Another run writes the folder at the moment."""


class OutputFolder:
    """Create and lock a folder, test that it is writable, and remove temporary files of a crashed run.

    This happens before the work, so that an hour of computing never ends at a read-only disk. The kernel holds the lock
    and releases it with the process, however that ends.

    Args:
        path: the folder; created with its parents.
        nested: whether this run also owns the subfolders, and removes temporary files there too.
        option: the user's name for the folder in error messages.
        patience_s: how long to wait for another run that holds the folder [s].

    Raises:
        FolderInUse: another run holds the folder.
        CannotCreate: the folder cannot be created.
        NoPermission: the folder is not writable.

    Example:
        >>> with OutputFolder(Path("/tmp/results")) as folder:
        ...     write_bytes(folder / "a.txt", b"whole")
    """

    def __init__(self, path: Path, *, nested: bool = False, option: str = "`out`", patience_s: float = 0) -> None:
        self.path, self.nested, self.option, self.patience_s = path, nested, option, patience_s
        self._lock: FileLock | None = None

    def __enter__(self) -> Path:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _LOCK)
            lock.acquire(timeout=self.patience_s)
        except Timeout:
            rule = "is being written by another run"
            raise FolderInUse(
                "the output folder", self.path, rule, f"wait for it, or choose another {self.option}"
            ) from None
        except OSError as error:
            raise from_os_error(error, what="the output folder", value=self.path, writing=True) from error
        self._lock = lock
        try:
            for orphan in self.path.rglob(TEMPORARY) if self.nested else self.path.glob(TEMPORARY):
                orphan.unlink(missing_ok=True)
            probe = self.path / ".insula-probe"
            write_bytes(probe, b"")
            probe.unlink(missing_ok=True)
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise from_os_error(error, what="the output folder", value=self.path, writing=True) from error
            raise
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()
