"""The job database in SQLite: short waits, disk space in reserve, and SQLite's errors as Insula's errors."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from insula.errors import CannotCreate, InsulaError, IOFault, Unavailable

__all__ = ["RESERVE", "Busy", "Database", "NoRoom", "Reserve", "is_whole"]

RESERVE = "reserve"
"""Name of the file beside the database that reserves disk space."""
T = TypeVar("T")
_QUEUE_SECONDS = 5.0  # while other threads of this process use the connection
_RESERVE_BYTES, _PIECE_BYTES = 16 << 20, 1 << 20  # a write-ahead log grows to 4 MB
_NO_ROOM_BYTES = 1 << 16


class Busy(Unavailable):
    """Another program has locked the database."""


class NoRoom(CannotCreate):
    """The disk is full."""


class Reserve:
    """A file that reserves disk space, so that jobs can still end, fail and be deleted when the disk is full.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def hold(self) -> bool:
        """Reserve the space if at least twice as much is free; returns whether all of it is reserved."""
        try:
            with open(self.path, "ab") as file:
                held = file.tell()
                if held < _RESERVE_BYTES and shutil.disk_usage(self.path.parent).free >= 2 * _RESERVE_BYTES:
                    _extend(file.fileno(), held)
                return os.fstat(file.fileno()).st_size >= _RESERVE_BYTES
        except OSError:
            return False

    def release(self) -> bool:
        """Free one piece of the space, and not all, as other programs may take it; returns whether there was one."""
        try:
            size = self.path.stat().st_size
            os.truncate(self.path, max(size - _PIECE_BYTES, 0))
        except OSError:
            return False
        return size > 0

    def spend(self, action: Callable[[], T]) -> T:
        """Run an action that must not fail on a full disk, freeing reserved space until it succeeds.

        Args:
            action: function to run; it may be called several times.

        Returns:
            The action's result.

        Raises:
            CannotCreate: it still fails when all reserved space is freed.
        """
        while True:
            try:
                return action()
            except CannotCreate:
                if not self.release():
                    raise


class Database:
    """One process's access to the database: one connection for writing, and one for reading that never waits for it.

    Args:
        path: the SQLite file; created if missing.
        wait_seconds: how long to wait while another process writes [s].

    Raises:
        Busy, NoRoom, IOFault: as `read` and `write`.
    """

    def __init__(self, path: Path, *, wait_seconds: float) -> None:
        self.reserve = Reserve(path.with_name(RESERVE))
        self._path, self._wait_seconds = path, wait_seconds
        self._writer, self._reader = self.reserve.spend(self._connect), self.reserve.spend(self._connect)
        self._turn_to_write, self._turn_to_read = threading.Lock(), threading.Lock()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._writer.close()

    def read(self, query: str, values: Sequence[str | float | None] = ()) -> list[sqlite3.Row]:
        """Returns all rows of a query.

        Raises:
            Busy: the database stays locked for too long.
            IOFault: the database is damaged or cannot be read.
        """
        return self.reading(lambda db: db.execute(query, values).fetchall())

    def reading(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action that reads with several queries, and return its result; no other reader interrupts it."""
        with self._refusals(), _turn(self._turn_to_read):
            return action(self._reader)

    def write(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action in one transaction, and repeat it in the reserved space if the disk is full.

        Args:
            action: function to run; before it is called again, its changes are undone.

        Returns:
            The action's result.

        Raises:
            Busy: the database stays locked for too long.
            NoRoom: the disk is full, and the reserve is used up.
            IOFault: the database is damaged or cannot be written.
        """
        return self.reserve.spend(lambda: self._write(action))

    def _write(self, action: Callable[[sqlite3.Connection], T]) -> T:
        with self._refusals(), _turn(self._turn_to_write):
            db = self._writer
            try:
                db.execute("BEGIN IMMEDIATE")
                result = action(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # SQLite may have rolled back by itself
                    db.execute("ROLLBACK")
                raise
            return result

    def _connect(self) -> sqlite3.Connection:
        with self._refusals():
            db = sqlite3.connect(self._path, timeout=self._wait_seconds, isolation_level=None, check_same_thread=False)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            return db

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _refusal(error, self._path) from None


def is_whole(path: Path) -> bool:
    """Returns whether SQLite finds no damage in a file; a missing or empty file counts as whole.

    Raises:
        Busy, IOFault: the file is locked or cannot be read.
    """
    if not path.exists() or not path.stat().st_size:
        return True
    try:
        db = sqlite3.connect(path, timeout=_QUEUE_SECONDS)
        try:
            return [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]
        finally:
            db.close()
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            return False
        raise _refusal(error, path) from None


@contextmanager
def _turn(lock: threading.Lock) -> Iterator[None]:
    if not lock.acquire(timeout=_QUEUE_SECONDS):
        raise _busy()
    try:
        yield
    finally:
        lock.release()


def _refusal(error: sqlite3.Error, path: Path) -> InsulaError:
    """Returns the Insula error for an SQLite error, without SQLite's own text."""
    code = _code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy()
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        rule = "cannot be written: no space is left on the disk"
        return NoRoom("the job database", "", rule, "delete jobs, or free some space, and try again")
    rule = f"could not be read or written (SQLite error {code})"
    return IOFault("the job database", "", rule, "check the disk and start the service again")


def _busy() -> Busy:
    return Busy("the job database", "", "is locked by another program", "try again in a few seconds")


def _code(error: sqlite3.Error) -> int:
    """Returns the primary result code; SQLITE_ERROR if the error comes from Python's own module."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _NO_ROOM_BYTES
    except OSError:
        return False


def _extend(handle: int, held: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, held, _RESERVE_BYTES - held)
    else:
        os.write(handle, bytes(_RESERVE_BYTES - held))
