"""The jobs' SQLite file: never waited for long, with room kept for it on a full disk, and what SQLite says told as refusals."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from insula.errors import CannotCreate, InsulaError, IOFault, Unavailable

__all__ = ["RESERVE", "Busy", "Database", "NoRoom", "Reserve", "is_whole"]

RESERVE = "reserve"
"""The name of the file beside the jobs that takes up room."""
T = TypeVar("T")
_QUEUE_SECONDS = 5.0  # for the turn among the threads of one process
_RESERVE_BYTES, _PIECE_BYTES = 16 << 20, 1 << 20  # a write-ahead log goes up to 4 MB
_NO_ROOM_BYTES = 1 << 16


class Busy(Unavailable):
    """Another program has locked the file."""


class NoRoom(CannotCreate):
    """The disk is full."""


class Reserve:
    """A file that takes up room, so that there is some when the disk is full: for ending, deleting and failing jobs.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def hold(self) -> bool:
        """Take the room, if the disk has more than twice as much; whether all of it is held."""
        try:
            with open(self.path, "ab") as file:
                held = file.tell()
                if held < _RESERVE_BYTES and shutil.disk_usage(self.path.parent).free >= 2 * _RESERVE_BYTES:
                    _extend(file.fileno(), held)
                return os.fstat(file.fileno()).st_size >= _RESERVE_BYTES
        except OSError:
            return False

    def release(self) -> bool:
        """Give a piece of the room back, for others may be waiting to take it; whether there was one."""
        try:
            size = self.path.stat().st_size
            os.truncate(self.path, max(size - _PIECE_BYTES, 0))
        except OSError:
            return False
        return size > 0

    def spend(self, action: Callable[[], T]) -> T:
        """Do something that must not fail for want of room: again and again, as long as a piece is left.

        Args:
            action: may be called several times.

        Raises:
            CannotCreate: no piece is left, or it is not room that is wanting.
        """
        while True:
            try:
                return action()
            except CannotCreate:
                if not self.release():
                    raise


class Database:
    """One process's way to the file: a connection that writes, and one that reads and never waits for it.

    Args:
        path: the SQLite file; made if it is not there.
        wait_seconds: for another process that writes.

    Raises:
        Busy, NoRoom, IOFault: as `read` and `write`.
    """

    def __init__(self, path: Path, *, wait_seconds: float) -> None:
        self.reserve = Reserve(path.with_name(RESERVE))
        self._path, self._wait_seconds = path, wait_seconds
        self._writer, self._reader = self.reserve.spend(self._connect), self.reserve.spend(self._connect)
        self._turn_to_write, self._turn_to_read = threading.Lock(), threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self._writer.close()

    def read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query.

        Raises:
            Busy: the file is locked for longer than is waited.
            IOFault: it is damaged or cannot be read.
        """
        return self.reading(lambda db: db.execute(query, values).fetchall())

    def reading(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Read with more than one query; no other reader comes between."""
        with self._refusals(), _turn(self._turn_to_read):
            return action(self._reader)

    def write(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in one transaction; on a full disk again, in the room that was kept.

        Args:
            action: may be called several times; what it did before is undone.

        Raises:
            Busy: the file is locked for longer than is waited.
            NoRoom: the disk is full, and no room was kept.
            IOFault: the file is damaged or cannot be written.
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
    """Whether SQLite finds no damage in a file; what is not there, or is empty, is whole.

    Raises:
        Busy, IOFault: it cannot be told.
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
    """What SQLite says, without its words."""
    code = _code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy()
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        rule = "cannot be written: no space is left on the disk"
        return NoRoom("the store of jobs", "", rule, "delete jobs, or free some space, and try again")
    rule = f"could not be read or written (SQLite error {code})"
    return IOFault("the store of jobs", "", rule, "check the disk and start the service again")


def _busy() -> Busy:
    return Busy("the store of jobs", "", "is locked by another program", "try again in a few seconds")


def _code(error: sqlite3.Error) -> int:
    """The primary result code; SQLITE_ERROR where Python itself complains."""
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
