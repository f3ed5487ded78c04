"""Processes that share a card and train on it in turn, so that each is timed and trained as if it were alone."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock


class Turn:
    """One process at a time trains on a card; others compile and are judged meanwhile. Without a file, it is free."""

    def __init__(self, path: Path | None) -> None:
        self._lock = FileLock(path) if path else None

    def take(self) -> None:
        """Wait for the turn, unless this process has it."""
        if self._lock and not self._lock.is_locked:
            self._lock.acquire()

    def give(self) -> None:
        """Let another process have the turn."""
        if self._lock:
            self._lock.release(force=True)
