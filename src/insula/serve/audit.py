"""The audit: who did what, when and with what outcome, in the log and an append-only file; no patient data."""

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
_AGAIN_SECONDS = 60.0  # file times are coarse, and two jobs may end at once
_TAIL_BYTES = 1 << 18
_JOB_LINE = re.compile(rb'"event": "job", "who": "[^"]*", "job": "([0-9a-f]+)"')


class Audit:
    """Writes events to the log and to a file; each event is on disk before `write` returns.

    The file is opened for each event, so that it can be rotated at any moment.

    Args:
        path: the file, which is only appended to; None for no file.

    Raises:
        InsulaError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._lock = path, threading.Lock()
        self.since = time.time()
        """Jobs that ended before this are not looked up [s since 1970]."""
        self.ended: set[str] = set()
        """Ids of jobs whose end is in the file already."""
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
        """Write an event; a failure to write the file is logged and not raised.

        Args:
            event: kind of event, e.g. `POST /v1/segment`, `job`, `association`.
            who: the token's owner or the AE title; unusual characters are replaced by `?`.
            outcome: a status, or the state of a job.
            job: the job's id; empty for none.
            ms: how long it took [ms]; left out if not given.
            more: further fields, e.g. the network address; never patient data.
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
        """Write the end of a job, unless it is in the file already."""
        if job.id in self.ended:
            return
        ms = 1000 * (job.ended - job.begun) if job.ended and job.begun else None
        self.write("job", who=str(job.options.get("caller") or job.owner), outcome=job.state, job=job.id, ms=ms)

    def _look_back(self, path: Path) -> None:
        """Read the jobs at the end of the file, and complete a line that a killed process left unfinished."""
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            tail = file.read()
        self.ended |= {id.decode() for id in _JOB_LINE.findall(tail)}
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
    """Write the end of every job while the context is open, by polling the jobs that other processes run."""
    stop = threading.Event()

    def watch() -> None:
        latest = audit.since
        while True:
            last = stop.wait(_LOOK_SECONDS)
            try:
                for job in jobs.ended_since(latest):
                    audit.job_ended(job)
                    latest = job.ended or latest
            except Exception as error:  # e.g. a busy store: the next poll finds the jobs
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
