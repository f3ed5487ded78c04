"""Who did what, when, and how it ended: for the log, and for a file that only grows; nothing of a patient."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from insula.errors import from_os_error
from insula.serve.jobs import Job, Jobs

__all__ = ["Audit", "watched_ends"]

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_ODD = re.compile(r"[^A-Za-z0-9_.:/{}() -]")
_LONGEST = 64
_AGAIN_SECONDS = 60.0  # the times of files are coarse, and two jobs may end at once
_TAIL_BYTES = 1 << 18
_JOB_LINE = re.compile(rb'"event": "job", "who": "[^"]*", "job": "([0-9a-f]+)"')


class Audit:
    """Writes an event to the log, and on the disk before it returns.

    The file is opened for each event, so that it may be moved away at any moment.

    Args:
        path: only added to; no file if None.

    Raises:
        InsulaError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._lock = path, threading.Lock()
        self.since = time.time()
        """What ended before is not asked for [s since 1970]."""
        self.ended: set[str] = set()
        """Jobs whose end is in the file already."""
        if path is not None:
            try:
                if path.exists() and path.stat().st_size:
                    self.since = path.stat().st_mtime - _AGAIN_SECONDS
                    self._look_back(path)
                else:
                    self._append(path, b"")
            except OSError as error:
                raise from_os_error(error, what="the audit file", value=path, writing=True) from None

    def write(
        self, event: str, *, who: str, outcome: str, job: str = "", ms: float | None = None, **more: str | int
    ) -> None:
        """Say that something has happened.

        Args:
            event: what, e.g. `POST /v1/segment`, `job`, `association`.
            who: the token's owner or the AE title; what is odd in it is replaced by `?`.
            outcome: a status, or the state of a job.
            job: its id.
            ms: how long it took [ms].
            more: e.g. the network address; nothing of a patient.
        """
        fields: dict[str, str | int] = {"event": event, "who": who or "nobody", "job": job, "outcome": outcome}
        fields |= more | ({} if ms is None else {"ms": round(ms)})
        plain = {key: _plain(value) for key, value in fields.items() if value != ""}
        _log.info("%s", " ".join(f"{key}={value}" for key, value in plain.items()))
        if self._path is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now} | plain) + "\n"
        try:
            with self._lock:
                self._append(self._path, line.encode())
        except OSError as error:
            _log.error("%s", from_os_error(error, what="the audit file", value="", writing=True))

    def job_ended(self, job: Job) -> None:
        """Say how a job has ended."""
        if job.id in self.ended:
            return
        ms = 1000 * (job.ended - job.begun) if job.ended and job.begun else None
        self.write("job", who=str(job.options.get("caller") or job.owner), outcome=job.state, job=job.id, ms=ms)

    def _look_back(self, path: Path) -> None:
        """Find the jobs that the end of the file tells of, and end a line that a killed process left unfinished."""
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            tail = file.read()
        self.ended |= {found.decode() for found in _JOB_LINE.findall(tail)}
        if not tail.endswith(b"\n"):
            self._append(path, b"\n")

    def _append(self, path: Path, line: bytes) -> None:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            while line:
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)


@contextmanager
def watched_ends(jobs: Jobs, audit: Audit) -> Iterator[None]:
    """Say of every job how it ended, while this lasts; workers are other processes, so the jobs are asked."""
    stop = threading.Event()

    def watch() -> None:
        latest = audit.since
        while True:
            last = stop.wait(_LOOK_SECONDS)
            try:
                for job in jobs.ended_since(latest):
                    audit.job_ended(job)
                    latest = job.ended or latest
            except Exception as error:  # a store that is busy: the next look finds them
                _log.warning("looking for jobs that have ended: %s", type(error).__name__)
            if last:
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _plain(value: str | int) -> str | int:
    return value if isinstance(value, int) else _ODD.sub("?", value)[:_LONGEST]
