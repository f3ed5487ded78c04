"""The node's rounds: complete series become jobs, results that nobody has to doubt go to the archives."""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from insula.config import ListenConfig
from insula.errors import Interrupted, Unavailable, as_insula_error
from insula.io import write_json
from insula.serve.dicom.choose import t1w_series
from insula.serve.dicom.meter import NodeMeter
from insula.serve.dicom.receive import Complete, Receiver, Study
from insula.serve.dicom.sender import Archive, stored
from insula.serve.jobs import Job, Jobs
from insula.serve.parts import part_path, record_of
from insula.serve.store import Store

__all__ = ["Node", "doubts"]

_log = logging.getLogger(__name__)
_OWNER = "dicom"
_LOOK_SECONDS = 0.5
_NOTHING = ("refused", "failed")


class Node:
    """Looks at what has come and what is done, again and again; what fails once is said and tried again.

    Args:
        store: series, jobs and results.
        jobs: those of the store.
        config: times, and what is sent.
        archives: who gets the results; if none they stay in the store.
        meter: counts.
    """

    def __init__(
        self, store: Store, jobs: Jobs, config: ListenConfig, archives: Sequence[Archive], meter: NodeMeter
    ) -> None:
        self._store, self._jobs, self._config, self._archives, self._meter = store, jobs, config, archives, meter
        self.receiver = Receiver(store.path / "received")
        self.receiver.sweep()
        self._said: set[str] = set()
        self._doubts: dict[str, list[str]] = {}
        self.stopping = threading.Event()

    def look(self) -> None:
        """Make jobs of complete series, say which jobs came to nothing, forget what is old."""
        for study in self.receiver.complete(self._config.quiet_seconds):
            with _told_and_passed_over("a complete study"):
                self._begin(study)
        for job in self._jobs.of(_OWNER):
            if job.state in _NOTHING and job.id not in self._said:
                self._said.add(job.id)
                _log.warning("job %s: %s: %s", job.id[:8], job.state, (job.error or {}).get("message", ""))
        with _told_and_passed_over("old series"):
            self.receiver.forget(3600 * self._config.service.keep_hours)

    def send_for_ever(self) -> None:
        """In a thread of its own, for an archive that is away is waited for."""
        while self._archives and not self.stopping.wait(_LOOK_SECONDS):
            refused = False
            for job in self._jobs.of(_OWNER):
                if job.state == "done" and not self.stopping.is_set():
                    with _told_and_passed_over(f"job {job.id[:8]}"):
                        refused |= not self._hand_over(job)
            if refused:
                self.stopping.wait(self._config.retry_seconds)

    def _begin(self, study: Study) -> None:
        """A job of the study's T1w series, if that is new; nothing of the others."""
        chosen, reason = t1w_series(study)
        for series in study.new:
            if chosen is not None and series.folder == chosen.folder:
                self._queue(series)
            else:
                self._meter.series("passed over")
                _log.warning("series %s: not segmented: %s", series.folder.name[:8], reason)
            self.receiver.take(series)

    def _queue(self, series: Complete) -> None:
        """Files first, then the job, then the mark: dying in between repeats a step that changes nothing."""
        id, digest = secrets.token_hex(16), series.digest
        upload = self._store.job(id).path / "upload"
        series.copy_to(upload)
        count = len(list(upload.iterdir()))
        job = self._add(id, series, digest, count)
        if job.id != id and job.state in _NOTHING:  # sent again after it came to nothing: once more
            self._jobs.delete(job.id)
            self._store.remove(job.id)
            job = self._add(id, series, digest, count)
        if job.id != id:
            self._store.remove(id)
        self._meter.series("queued" if job.id == id else "again")
        news = f"a series of {count} files is complete" if job.id == id else "its series has come again"
        _log.info("job %s: %s", job.id[:8], news)

    def _add(self, id: str, series: Complete, digest: str, count: int) -> Job:
        return self._jobs.add(
            owner=_OWNER,
            key=digest,
            upload=(id, digest, count),
            options={"caller": series.caller} if series.caller else {},
            keep_seconds=3600 * self._config.service.keep_hours,
        )

    def _hand_over(self, job: Job) -> bool:
        """Send what an archive does not have yet, which is what it has not said it stored; whether all have all now."""
        folder = self._store.job(job.id)
        if job.id not in self._doubts:
            self._doubts[job.id] = found = doubts(record_of(folder), self._config.send_despite)
            if found:
                self._meter.result("held back")
                _log.warning("job %s: held back from the archive: %s", job.id[:8], ", ".join(found))
        if self._doubts[job.id]:
            return True
        done = True
        for archive in self._archives:
            kept = folder.path / archive.statuses
            statuses: dict[str, int] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
            paths = {part_path(folder, part): part for part in self._config.send if not stored(statuses.get(part, -1))}
            if not paths:
                continue
            try:
                said = archive.send(list(paths))
            except Unavailable as error:
                _log.warning("job %s: %s", job.id[:8], error)
                done = False
                continue
            statuses |= {paths[path]: status for path, status in said.items()}
            write_json(kept, statuses)
            for path, status in said.items():
                outcome = "stored" if stored(status) else "not stored"
                self._meter.result("stored" if stored(status) else "not stored")
                more = "" if stored(status) else f" (status {status:#06x})"
                _log.info("job %s: %s: %s%s", job.id[:8], paths[path], outcome, more)
            done &= all(map(stored, said.values()))
        return done


def doubts(record: Mapping[str, Any], despite: Sequence[str]) -> list[str]:
    """The flags of a record that keep its results from an archive.

    Args:
        record: of a job that is done.
        despite: codes of warnings that do not. What is more than a warning always does.
    """
    return [
        flag["code"]
        for flag in record["flags"]
        if flag["severity"] != "note" and not (flag["severity"] == "warning" and flag["code"] in despite)
    ]


@contextmanager
def _told_and_passed_over(what: str) -> Iterator[None]:
    """A step that may fail, of a node that must not: a full disk, a job that has just expired."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        _log.warning("%s: %s", what, as_insula_error(error))
