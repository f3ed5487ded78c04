"""The jobs, in one SQLite file: whatever is killed, a job is queued, running, ended or deleted, and never lost.

queued -> running -> done | refused | failed. A worker takes a job under a lease; what a worker without the lease says is not heard,
so a job whose worker was thought dead ends once only.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Job", "Jobs", "State"]

State = Literal["queued", "running", "done", "refused", "failed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, key TEXT, upload_sha256 TEXT NOT NULL, options TEXT NOT NULL, bytes INTEGER NOT NULL,
  state TEXT NOT NULL, step TEXT NOT NULL, progress REAL NOT NULL, attempts INTEGER NOT NULL, worker TEXT, lease TEXT, error TEXT,
  created REAL NOT NULL, begun REAL, ended REAL, expires REAL NOT NULL, UNIQUE (owner, key)
) STRICT;
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, created);
"""
_WAIT_SECONDS = 20.0  # for another process that writes


@dataclass(frozen=True)
class Job:
    """One upload and what became of it."""

    id: str
    owner: str
    """Whose it is."""
    upload_sha256: str
    """Of the bytes sent."""
    options: dict[str, Any]
    """What was asked for with it."""
    state: State
    step: str
    """Of a running job: reading, segmenting, writing."""
    progress: float
    """0 to 1."""
    attempts: int
    """How often it was begun."""
    lease: str | None
    """What its worker has to show."""
    error: dict[str, Any] | None
    """Of a job that was refused or has failed."""
    created: float
    """Seconds since 1970, as the next."""
    begun: float | None
    ended: float | None
    expires: float


class Jobs:
    """The store; every process that works on the jobs opens its own.

    Args:
        path: the SQLite file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._lock = threading.Lock()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def add(self, *, owner: str, key: str | None, upload: tuple[str, str, int], options: dict[str, Any], keep_seconds: float) -> Job:  # fmt: skip
        """Queue a job, or find the one of the same owner and key.

        Args:
            owner: whose it is.
            key: what the sender calls it, so that sending it again makes no second job.
            upload: the job's id, the SHA-256 of its bytes, and their number.
            options: what was asked for.
            keep_seconds: after which it is deleted.
        """
        id, digest, count = upload
        now = time.time()
        with self._writing() as db:
            db.execute(
                "INSERT INTO jobs (id, owner, key, upload_sha256, options, bytes, state, step, progress, attempts, created, expires) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued', 'waiting', 0, 0, ?, ?) ON CONFLICT (owner, key) DO NOTHING",
                (id, owner, key, digest, json.dumps(options), count, now, now + keep_seconds),
            )
            query, values = ("id = ?", (id,)) if key is None else ("owner = ? AND key = ?", (owner, key))
            return _job(db.execute(f"SELECT * FROM jobs WHERE {query}", values).fetchone())

    def get(self, id: str, *, owner: str | None = None) -> Job | None:
        """The job, if there is one and, with an owner, it is theirs."""
        row = self._read("SELECT * FROM jobs WHERE id = ? AND (? IS NULL OR owner = ?)", (id, owner, owner))
        return _job(row[0]) if row else None

    def of(self, owner: str) -> list[Job]:
        """Everything of an owner, newest first."""
        return [_job(row) for row in self._read("SELECT * FROM jobs WHERE owner = ? ORDER BY created DESC", (owner,))]

    def ahead(self, job: Job) -> int:
        """How many wait in front of it."""
        query = "SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND created < ?"
        return int(self._read(query, (job.created,))[0][0]) if job.state == "queued" else 0

    def count(self) -> dict[str, int]:
        """Jobs by state."""
        return dict(tuple(row) for row in self._read("SELECT state, COUNT(*) FROM jobs GROUP BY state", ()))

    def take(self, worker: str) -> Job | None:
        """The job that has waited longest, now running under a new lease; None if none waits."""
        if not self._read("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1", ()):
            return None  # looking takes no lock
        with self._writing() as db:
            row = db.execute(
                "UPDATE jobs SET state = 'running', step = 'reading', worker = ?, lease = ?, begun = ?, attempts = attempts + 1 "
                "WHERE id = (SELECT id FROM jobs WHERE state = 'queued' ORDER BY created LIMIT 1) RETURNING *",
                (worker, secrets.token_hex(8), time.time()),
            ).fetchone()
        return _job(row) if row else None

    def tell(self, job: Job, step: str, progress: float) -> bool:
        """Say how far a running job is; False if the lease is lost, and the work with it."""
        with self._writing() as db:
            query = "UPDATE jobs SET step = ?, progress = ? WHERE id = ? AND lease = ?"
            return db.execute(query, (step, progress, job.id, job.lease)).rowcount == 1

    def end(self, job: Job, state: State, error: Mapping[str, Any] | None = None) -> bool:
        """End a running job; False if the lease is lost."""
        with self._writing() as db:
            query = "UPDATE jobs SET state = ?, step = ?, progress = 1, error = ?, ended = ?, lease = NULL WHERE id = ? AND lease = ?"
            told = json.dumps(error) if error is not None else None
            return db.execute(query, (state, state, told, time.time(), job.id, job.lease)).rowcount == 1

    def put_back(self) -> None:
        """Queue again what is running, as if it had not been begun: the service stops, and no worker is to blame."""
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET state = 'queued', step = 'waiting', progress = 0, lease = NULL, attempts = attempts - 1 WHERE state = 'running'"
            )

    def release(self, worker: str | None, *, attempts: int, error: Mapping[str, Any]) -> list[Job]:
        """Queue again what a dead worker (or, if None, any) was running; what was begun too often has failed.

        Returns:
            The jobs that it ran, as they stand now.
        """
        with self._writing() as db:
            whose = "state = 'running' AND (? IS NULL OR worker = ?)"
            running = [row["id"] for row in db.execute(f"SELECT id FROM jobs WHERE {whose}", (worker, worker))]
            again = f"UPDATE jobs SET state = 'queued', step = 'waiting', progress = 0, lease = NULL WHERE {whose} AND attempts < ?"
            db.execute(again, (worker, worker, attempts))
            over = f"UPDATE jobs SET state = 'failed', step = 'failed', progress = 1, lease = NULL, ended = ?, error = ? WHERE {whose}"
            db.execute(over, (time.time(), json.dumps(error), worker, worker))
            return [_job(db.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone()) for id in running]

    def overdue(self, seconds: float) -> set[str]:
        """The workers that have been at one job for longer."""
        query = "SELECT worker FROM jobs WHERE state = 'running' AND begun < ?"
        return {row["worker"] for row in self._read(query, (time.time() - seconds,))}

    def delete(self, id: str) -> None:
        """Forget a job; a worker that is at it loses its lease."""
        with self._writing() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (id,))

    def ended_since(self, moment: float) -> list[Job]:
        """What has ended after a moment [s since 1970], in that order."""
        return [_job(row) for row in self._read("SELECT * FROM jobs WHERE ended > ? ORDER BY ended", (moment,))]

    def expired(self) -> list[str]:
        """What has been kept long enough and is not running."""
        query = "SELECT id FROM jobs WHERE expires < ? AND state != 'running'"
        return [row["id"] for row in self._read(query, (time.time(),))]

    def ids(self) -> set[str]:
        """Every job there is."""
        return {row["id"] for row in self._read("SELECT id FROM jobs", ())}

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _read(self, query: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    values["options"] = json.loads(values["options"])
    values["error"] = json.loads(values["error"]) if values["error"] else None
    return Job(**values)
