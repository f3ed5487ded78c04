"""The jobs, in one SQLite file: whatever is killed, a job is queued, running, ended or deleted, and never lost.

queued -> running -> done | refused | failed. A worker takes a job under a lease; what a worker without the lease says is not heard,
so a job whose worker was thought dead ends once only. Ages are those of `insula.serve.elapsed`; times of day are for people to read.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from insula.errors import Unavailable
from insula.serve.database import Database
from insula.serve.elapsed import SCHEMA, count_on, elapsed

__all__ = ["Job", "Jobs", "QueueFull", "State"]

State = Literal["queued", "running", "done", "refused", "failed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, key TEXT, upload_sha256 TEXT NOT NULL, options TEXT NOT NULL, bytes INTEGER NOT NULL,
  state TEXT NOT NULL, step TEXT NOT NULL, progress REAL NOT NULL, attempts INTEGER NOT NULL, worker TEXT, lease TEXT, error TEXT,
  created REAL NOT NULL, begun REAL, ended REAL, expires REAL NOT NULL, UNIQUE (owner, key)
) STRICT;
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, created);
"""
_ADDED = {"since": "REAL NOT NULL DEFAULT 0", "keep": "REAL NOT NULL DEFAULT 86400", "seconds": "REAL"}
"""Columns that older stores lack: when the state last changed, on the store's clock; how long the job is kept from then on; how long it ran [s]."""
_QUEUED = "state = 'queued', step = 'waiting', progress = 0, lease = NULL, since = ?"
_ENDED = "state = ?, step = ?, progress = 1, error = ?, lease = NULL, ended = ?, expires = ? + keep, seconds = ? - since, since = ?"
_WAIT_SECONDS = 2.0  # for another process that writes


class QueueFull(Unavailable):
    """The queue is full: as many jobs wait as may."""


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
    """When it will be deleted, if the clock is right until then."""
    seconds: float | None = None
    """How long it ran, once it has ended."""


class Jobs:
    """The store; every process that works on the jobs opens its own.

    Every method raises `Busy`, `NoRoom` or `IOFault` as `Database` does.

    Args:
        path: the SQLite file; made if it is not there.
        wait_seconds: for another process that writes; those whom nobody waits for can have more patience.
    """

    def __init__(self, path: Path, *, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._db = Database(path, wait_seconds=wait_seconds)
        self._db.write(_make_tables)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def add(
        self,
        *,
        owner: str,
        key: str | None,
        upload: tuple[str, str, int],
        options: dict[str, Any],
        keep_seconds: float,
        most_queued: int | None = None,
    ) -> Job:
        """Queue a job, or find the one of the same owner and key.

        Args:
            owner: whose it is.
            key: what the sender calls it, so that sending it again makes no second job.
            upload: the job's id, the SHA-256 of its bytes, and their number.
            options: what was asked for.
            keep_seconds: how long it is kept, from its end on, or if it never ends from now on.
            most_queued: how many may wait; any number if not given.

        Raises:
            QueueFull: so many wait already.
        """
        id, digest, count = upload
        now = time.time()

        def insert(db: sqlite3.Connection) -> Job:
            known = db.execute("SELECT * FROM jobs WHERE owner = ? AND key = ?", (owner, key)).fetchone()
            if known is not None:
                return _job(known)
            waiting = db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
            if most_queued is not None and waiting >= most_queued:
                raise QueueFull("the queue", "", f"is full ({most_queued} jobs)", "try again later")
            row = db.execute(
                "INSERT INTO jobs (id, owner, key, upload_sha256, options, bytes, state, step, progress, attempts, created, expires, since, keep) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued', 'waiting', 0, 0, ?, ?, ?, ?) RETURNING *",
                (
                    id,
                    owner,
                    key,
                    digest,
                    json.dumps(options),
                    count,
                    now,
                    now + keep_seconds,
                    elapsed(db),
                    keep_seconds,
                ),
            ).fetchone()
            return _job(row)

        return self._db.write(insert)

    def get(self, id: str, *, owner: str | None = None) -> Job | None:
        """The job, if there is one and, with an owner, it is theirs."""
        row = self._db.read("SELECT * FROM jobs WHERE id = ? AND (? IS NULL OR owner = ?)", (id, owner, owner))
        return _job(row[0]) if row else None

    def of(self, owner: str) -> list[Job]:
        """Everything of an owner, newest first."""
        return [_job(row) for row in self._db.read("SELECT * FROM jobs WHERE owner = ? ORDER BY rowid DESC", (owner,))]

    def ahead(self, job: Job) -> int:
        """How many wait in front of it."""
        query = "SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND rowid < (SELECT rowid FROM jobs WHERE id = ?)"
        return int(self._db.read(query, (job.id,))[0][0]) if job.state == "queued" else 0

    def count(self) -> dict[str, int]:
        """Jobs by state."""
        return dict(tuple(row) for row in self._db.read("SELECT state, COUNT(*) FROM jobs GROUP BY state"))

    def take(self, worker: str) -> Job | None:
        """The job that has waited longest, now running under a new lease; None if none waits."""
        if not self._db.read("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1"):
            return None  # looking takes no lock
        query = (
            "UPDATE jobs SET state = 'running', step = 'reading', worker = ?, lease = ?, begun = ?, since = ?, attempts = attempts + 1 "
            "WHERE id = (SELECT id FROM jobs WHERE state = 'queued' ORDER BY rowid LIMIT 1) RETURNING *"
        )
        lease = secrets.token_hex(8)
        row = self._db.write(lambda db: db.execute(query, (worker, lease, time.time(), elapsed(db))).fetchone())
        return _job(row) if row else None

    def tell(self, job: Job, step: str, progress: float) -> bool:
        """Say how far a running job is; False if the lease is lost, and the work with it."""
        query = "UPDATE jobs SET step = ?, progress = ? WHERE id = ? AND lease = ?"
        return self._db.write(lambda db: db.execute(query, (step, progress, job.id, job.lease)).rowcount == 1)

    def end(self, job: Job, state: State, error: Mapping[str, Any] | None = None) -> bool:
        """End a running job; False if the lease is lost."""
        told = json.dumps(error) if error is not None else None
        query = f"UPDATE jobs SET {_ENDED} WHERE id = ? AND lease = ?"
        return self._db.write(
            lambda db: db.execute(query, (*_ending(db, state, told), job.id, job.lease)).rowcount == 1
        )

    def put_back(self) -> None:
        """Queue again what is running, as if it had not been begun: the service stops, and no worker is to blame."""
        query = f"UPDATE jobs SET {_QUEUED}, attempts = attempts - 1 WHERE state = 'running'"
        self._db.write(lambda db: db.execute(query, (elapsed(db),)))

    def release(self, worker: str | None, *, attempts: int, error: Mapping[str, Any]) -> list[Job]:
        """Queue again what a dead worker (or, if None, any) was running; what was begun too often has failed.

        Returns:
            The jobs that it ran, as they stand now.
        """
        whose = "state = 'running' AND (? IS NULL OR worker = ?)"

        def let_go(db: sqlite3.Connection) -> list[Job]:
            running = [row["id"] for row in db.execute(f"SELECT id FROM jobs WHERE {whose}", (worker, worker))]
            again = f"UPDATE jobs SET {_QUEUED} WHERE {whose} AND attempts < ?"
            db.execute(again, (elapsed(db), worker, worker, attempts))
            over = f"UPDATE jobs SET {_ENDED} WHERE {whose}"
            db.execute(over, (*_ending(db, "failed", json.dumps(error)), worker, worker))
            return [_job(db.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone()) for id in running]

        return self._db.write(let_go)

    def overdue(self, seconds: float) -> set[str]:
        """The workers that have been at one job for longer."""
        query = "SELECT worker FROM jobs WHERE state = 'running' AND since < ?"
        return {row["worker"] for row in self._db.read(query, (self._now() - seconds,))}

    def delete(self, id: str) -> None:
        """Forget a job; a worker that is at it loses its lease."""
        self._db.write(lambda db: db.execute("DELETE FROM jobs WHERE id = ?", (id,)))

    def ended_since(self, moment: float) -> list[Job]:
        """What has ended after a moment [s since 1970], in that order."""
        return [_job(row) for row in self._db.read("SELECT * FROM jobs WHERE ended > ? ORDER BY ended", (moment,))]

    def expired(self) -> list[str]:
        """What has been kept long enough and is not running."""
        query = "SELECT id FROM jobs WHERE since + keep < ? AND state != 'running'"
        return [row["id"] for row in self._db.read(query, (self._now(),))]

    def ids(self) -> set[str]:
        """Every job there is."""
        return {row["id"] for row in self._db.read("SELECT id FROM jobs")}

    def count_on(self) -> None:
        """Keep how much time has passed; to be called again and again."""
        self._db.write(count_on)

    def _now(self) -> float:
        """The store's clock."""
        return self._db.reading(elapsed)


def _ending(db: sqlite3.Connection, state: State, told: str | None) -> tuple[Any, ...]:
    """The values of `_ENDED`."""
    now, count = time.time(), elapsed(db)
    return state, state, told, now, now, count, count


def _make_tables(db: sqlite3.Connection) -> None:
    for statement in (*_SCHEMA.split(";")[:-1], *SCHEMA.split(";")[:-1]):
        db.execute(statement)
    count_on(db)
    there = {row["name"] for row in db.execute("PRAGMA table_info(jobs)")}
    if missing := [name for name in _ADDED if name not in there]:
        for name in missing:
            db.execute(f"ALTER TABLE jobs ADD COLUMN {name} {_ADDED[name]}")
        # How old jobs of an older store are is not known but by the wall clock: they are kept once more for as long
        db.execute(
            "UPDATE jobs SET since = ?, keep = MAX(expires - created, 0), seconds = ended - begun", (elapsed(db),)
        )


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    values["options"] = json.loads(values["options"])
    values["error"] = json.loads(values["error"]) if values["error"] else None
    return Job(**values)
