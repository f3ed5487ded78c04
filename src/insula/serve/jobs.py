"""The job queue, in one SQLite file: whichever process is killed, no job is lost.

queued -> running -> done | refused | failed. A worker takes a job under a lease. Updates from a worker without the
lease are ignored, so a job whose worker was presumed dead ends only once. A discarded job is hidden from its owner, and
deleted when its time is up; until then it can be restored, and a worker treats it as any other. Ages are measured by
`insula.serve.elapsed`; times of day are for people to read.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from insula.errors import Unavailable
from insula.serve.database import Database
from insula.serve.elapsed import count_on, elapsed
from insula.serve.tables import make_tables

__all__ = ["Job", "Jobs", "Options", "QueueFull", "State"]

State = Literal["queued", "running", "done", "refused", "failed"]

_QUEUED = "state = 'queued', step = 'waiting', progress = 0, lease = NULL, since = ?"
_ENDED = (
    "state = ?, step = ?, progress = 1, error = ?, lease = NULL, ended = ?, expires = ? + keep, seconds = ? - since, "
    "since = ?"
)
_RESTORED = "UPDATE jobs SET discarded_until = NULL"
_WAIT_SECONDS = 2.0  # while another process writes


class QueueFull(Unavailable):
    """The queue has reached its maximum length."""


class Options(TypedDict, total=False):
    """Options sent with an upload; those left out, and None, stand for the defaults."""

    frame: int | None
    """The volume of a 4-D file, from 0."""
    series: int | None
    """The SeriesNumber of a DICOM upload."""
    assume_orientation: str | None
    """Axis codes for a file that does not state its orientation."""
    assume_t1w: bool
    """Segment an image that does not look T1-weighted."""
    threshold: float | None
    """Probability from which a voxel is lesion (0 to 1)."""
    tta: bool
    """Average with the mirrored image."""
    caller: str
    """AE title of the sender of a DICOM series."""


@dataclass(frozen=True)
class Job:
    """One upload and its outcome."""

    id: str
    owner: str
    """Owner of the token that sent it."""
    upload_sha256: str
    """SHA-256 of the upload's bytes."""
    options: Options
    """Options sent with the upload."""
    state: State
    step: str
    """Step of a running job: reading, segmenting or writing; otherwise waiting, or the final state."""
    progress: float
    """Completed fraction, 0 to 1."""
    attempts: int
    """How many times a worker has started it."""
    lease: str | None
    """Proof that a worker holds the job; None unless it is running."""
    error: dict[str, str] | None
    """Error of a refused or failed job."""
    created: float
    """Time of creation [s since 1970]; the next three are in the same unit."""
    begun: float | None
    ended: float | None
    expires: float
    """When the job will be deleted, provided the wall clock stays right."""
    seconds: float | None = None
    """How long it ran, once it has ended [s]."""


class Jobs:
    """The queue of jobs; every process that works on the jobs opens its own instance.

    Every method raises `Busy`, `NoRoom` or `IOFault` as `Database` does.

    Args:
        path: the SQLite file; created if missing.
        wait_seconds: how long to wait while another process writes [s]; processes that keep no client waiting can
            wait longer.
    """

    def __init__(self, path: Path, *, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._db = Database(path, wait_seconds=wait_seconds)
        self._db.write(make_tables)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(
        self,
        *,
        owner: str,
        key: str | None,
        upload: tuple[str, str, int],
        options: Options,
        keep_seconds: float,
        most_queued: int | None = None,
    ) -> Job:
        """Queue a job, or return the existing job of the same owner and key.

        Args:
            owner: owner of the job.
            key: the sender's name for the job, so that sending it again creates no second job; None for no name.
            upload: the job's id, the SHA-256 of its bytes, and their number.
            options: options sent with the upload.
            keep_seconds: how long the job is kept after it ends, or from now on if it never ends [s].
            most_queued: maximum number of queued jobs; unlimited if not given.

        Returns:
            The new job, or the existing one.

        Raises:
            QueueFull: `most_queued` jobs are queued already.
        """
        id, digest, count = upload
        now, options_json = time.time(), json.dumps(options)

        def insert(db: sqlite3.Connection) -> Job:
            known = db.execute(f"{_RESTORED} WHERE owner = ? AND key = ? RETURNING *", (owner, key)).fetchone()
            if known is not None:
                return _job(known)
            waiting = db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
            if most_queued is not None and waiting >= most_queued:
                raise QueueFull("the queue", "", f"is full ({most_queued} jobs)", "try again later")
            row = db.execute(
                "INSERT INTO jobs (id, owner, key, upload_sha256, options, bytes, state, step, progress, attempts, "
                "created, expires, since, keep) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued', 'waiting', 0, 0, ?, ?, ?, ?) RETURNING *",
                (id, owner, key, digest, options_json, count, now, now + keep_seconds, elapsed(db), keep_seconds),
            ).fetchone()
            return _job(row)

        return self._db.write(insert)

    def get(self, id: str, *, owner: str | None = None) -> Job | None:
        """Returns a job by its id; None if it does not exist or, given an owner, is discarded or belongs to another."""
        query = "SELECT * FROM jobs WHERE id = ? AND (? IS NULL OR (owner = ? AND discarded_until IS NULL))"
        row = self._db.read(query, (id, owner, owner))
        return _job(row[0]) if row else None

    def of(self, owner: str) -> list[Job]:
        """Returns all jobs of an owner except discarded ones, newest first."""
        query = "SELECT * FROM jobs WHERE owner = ? AND discarded_until IS NULL ORDER BY rowid DESC"
        return [_job(row) for row in self._db.read(query, (owner,))]

    def ahead(self, job: Job) -> int:
        """Returns how many jobs are queued ahead of this job; 0 if it is not queued."""
        query = "SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND rowid < (SELECT rowid FROM jobs WHERE id = ?)"
        return int(self._db.read(query, (job.id,))[0][0]) if job.state == "queued" else 0

    def count(self) -> dict[str, int]:
        """Returns the number of jobs in each state that occurs."""
        return dict(tuple(row) for row in self._db.read("SELECT state, COUNT(*) FROM jobs GROUP BY state"))

    def take(self, worker: str) -> Job | None:
        """Start the job that has waited longest, under a new lease, and return it; None if no job is queued."""
        if not self._db.read("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1"):
            return None  # reading takes no lock
        query = (
            "UPDATE jobs SET state = 'running', step = 'reading', worker = ?, lease = ?, begun = ?, since = ?, "
            "attempts = attempts + 1 "
            "WHERE id = (SELECT id FROM jobs WHERE state = 'queued' ORDER BY rowid LIMIT 1) RETURNING *"
        )
        lease = secrets.token_hex(8)
        row = self._db.write(lambda db: db.execute(query, (worker, lease, time.time(), elapsed(db))).fetchone())
        return _job(row) if row else None

    def tell(self, job: Job, step: str, progress: float) -> bool:
        """Record the progress of a running job; False if its lease is lost, so that the work is void."""
        query = "UPDATE jobs SET step = ?, progress = ? WHERE id = ? AND lease = ?"
        return self._db.write(lambda db: db.execute(query, (step, progress, job.id, job.lease)).rowcount == 1)

    def end(self, job: Job, state: State, error: Mapping[str, str] | None = None) -> bool:
        """End a running job; False if its lease is lost."""
        error_json = json.dumps(error) if error is not None else None
        query = f"UPDATE jobs SET {_ENDED} WHERE id = ? AND lease = ?"
        return self._db.write(
            lambda db: db.execute(query, (*_ending(db, state, error_json), job.id, job.lease)).rowcount == 1
        )

    def put_back(self) -> None:
        """Queue the running jobs again because the service stops; the started attempt does not count."""
        query = f"UPDATE jobs SET {_QUEUED}, attempts = attempts - 1 WHERE state = 'running'"
        self._db.write(lambda db: db.execute(query, (elapsed(db),)))

    def release(self, worker: str | None, *, attempts: int, error: Mapping[str, str]) -> list[Job]:
        """Queue the running jobs of a dead worker again; those started too often fail.

        Args:
            worker: name of the worker; None for all workers.
            attempts: number of starts after which a job fails.
            error: error of the jobs that fail.

        Returns:
            The jobs that the worker was running, in their new state.
        """
        condition = "state = 'running' AND (? IS NULL OR worker = ?)"

        def release_jobs(db: sqlite3.Connection) -> list[Job]:
            running = [row["id"] for row in db.execute(f"SELECT id FROM jobs WHERE {condition}", (worker, worker))]
            again = f"UPDATE jobs SET {_QUEUED} WHERE {condition} AND attempts < ?"
            db.execute(again, (elapsed(db), worker, worker, attempts))
            over = f"UPDATE jobs SET {_ENDED} WHERE {condition}"
            db.execute(over, (*_ending(db, "failed", json.dumps(error)), worker, worker))
            return [_job(db.execute("SELECT * FROM jobs WHERE id = ?", (id,)).fetchone()) for id in running]

        return self._db.write(release_jobs)

    def overdue(self, seconds: float) -> set[str]:
        """Returns the workers whose current job has been running for longer than this [s]."""
        query = "SELECT worker FROM jobs WHERE state = 'running' AND since < ?"
        return {row["worker"] for row in self._db.read(query, (self._now() - seconds,))}

    def delete(self, id: str) -> None:
        """Delete a job; a worker that is running it loses its lease."""
        self._db.write(lambda db: db.execute("DELETE FROM jobs WHERE id = ?", (id,)))

    def discard(self, id: str, *, seconds: float) -> None:
        """Hide a job from its owner and, unless it is restored within some seconds, let it expire."""
        query = "UPDATE jobs SET discarded_until = ? WHERE id = ?"
        self._db.write(lambda db: db.execute(query, (elapsed(db) + seconds, id)))

    def restore(self, id: str, *, owner: str) -> Job | None:
        """Undo the discarding of an owner's job and return it; None if it does not exist or its time is up."""
        query = f"{_RESTORED} WHERE id = ? AND owner = ? AND (discarded_until >= ?) IS NOT FALSE RETURNING *"
        row = self._db.write(lambda db: db.execute(query, (id, owner, elapsed(db))).fetchone())
        return _job(row) if row else None

    def ended_since(self, moment: float) -> list[Job]:
        """Returns the jobs that ended after a moment [s since 1970], in order of their end."""
        return [_job(row) for row in self._db.read("SELECT * FROM jobs WHERE ended > ? ORDER BY ended", (moment,))]

    def expired(self) -> list[str]:
        """Returns the ids of jobs that have been kept long enough and are not running, and of old discarded ones."""
        query = "SELECT id FROM jobs WHERE (since + keep < ? AND state != 'running') OR discarded_until < ?"
        now = self._now()
        return [row["id"] for row in self._db.read(query, (now, now))]

    def ids(self) -> set[str]:
        """Returns the ids of all jobs."""
        return {row["id"] for row in self._db.read("SELECT id FROM jobs")}

    def count_on(self) -> None:
        """Save how much time has passed; to be called regularly."""
        self._db.write(count_on)

    def _now(self) -> float:
        """Returns the time on the store's clock [s]."""
        return self._db.reading(elapsed)


def _ending(db: sqlite3.Connection, state: State, error_json: str | None) -> tuple[str | float | None, ...]:
    """Returns the values for the placeholders of `_ENDED`."""
    now, count = time.time(), elapsed(db)
    return state, state, error_json, now, now, count, count


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    values["options"] = json.loads(values["options"])
    values["error"] = json.loads(values["error"]) if values["error"] else None
    return Job(**values)
