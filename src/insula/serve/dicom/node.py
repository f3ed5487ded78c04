"""The node's regular work: turn complete series into jobs, and send results without warnings to the archives."""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from insula.config import ListenConfig
from insula.errors import Unavailable, as_insula_error
from insula.io import write_json
from insula.serve.dicom.choose import t1w_series
from insula.serve.dicom.meter import NodeMeter
from insula.serve.dicom.receive import Complete, Receiver, Study
from insula.serve.dicom.sender import Archive, stored
from insula.serve.jobs import Job, Jobs
from insula.serve.parts import part_path, record_of
from insula.serve.store import JobStore

if TYPE_CHECKING:
    from insula.predict import ResultRecord

__all__ = ["Node", "doubts"]

_log = logging.getLogger(__name__)
_OWNER = "dicom"
_LOOK_SECONDS = 0.5
_UNSUCCESSFUL = ("refused", "failed")


class Node:
    """Queues received series and sends finished results; a step that fails is logged and tried again.

    Args:
        store: store of series, jobs and results.
        jobs: the store's jobs.
        config: times, and which results are sent.
        archives: archives that get the results; if empty, they stay in the store.
        meter: the node's metrics.
    """

    def __init__(
        self, store: JobStore, jobs: Jobs, config: ListenConfig, archives: Sequence[Archive], meter: NodeMeter
    ) -> None:
        self._store, self._jobs, self._config, self._archives, self._meter = store, jobs, config, archives, meter
        self.receiver = Receiver(store.path / "received")
        self.receiver.sweep()
        self._reported: set[str] = set()
        self._doubts: dict[str, list[str]] = {}
        self.stopping = threading.Event()

    def look(self) -> None:
        """Turn complete series into jobs, log refused and failed jobs, delete old series."""
        for study in self.receiver.complete(self._config.quiet_seconds):
            with _errors_logged("a complete study"):
                self._begin(study)
        with _errors_logged("the jobs"):
            for job in self._jobs.of(_OWNER):
                if job.state in _UNSUCCESSFUL and job.id not in self._reported:
                    self._reported.add(job.id)
                    _log.warning("job %s: %s: %s", job.id[:8], job.state, (job.error or {}).get("message", ""))
        with _errors_logged("old series"):
            self.receiver.forget(3600 * self._config.service.keep_hours)

    def send_for_ever(self) -> None:
        """Send results until the node stops; needs a thread of its own, as it waits for unavailable archives."""
        while self._archives and not self.stopping.wait(_LOOK_SECONDS):
            unsent = False
            with _errors_logged("the jobs"):
                for job in self._jobs.of(_OWNER):
                    if job.state == "done" and not self.stopping.is_set():
                        with _errors_logged(f"job {job.id[:8]}"):
                            unsent |= not self._send_results(job)
            if unsent:
                self.stopping.wait(self._config.retry_seconds)

    def _begin(self, study: Study) -> None:
        """Queue a study's T1w series if it is new, and mark all new series as taken."""
        chosen, reason = t1w_series(study)
        for series in study.new:
            if chosen is not None and series.folder == chosen.folder:
                self._queue(series)
            else:
                self._meter.series("passed over")
                _log.warning("series %s: not segmented: %s", series.folder.name[:8], reason)
            self.receiver.take(series)

    def _queue(self, series: Complete) -> None:
        """Store the files, then the job: if the node dies in between, repeating it changes nothing."""
        id, digest = secrets.token_hex(16), series.digest
        upload = self._store.job(id).path / "upload"
        try:
            series.copy_to(upload)
            count = len(list(upload.iterdir()))
            job = self._add(id, series, digest, count)
            if job.id != id and job.state in _UNSUCCESSFUL:  # the earlier job was unsuccessful: try again
                self._jobs.delete(job.id)
                self._store.remove(job.id)
                job = self._add(id, series, digest, count)
        except Exception:  # the next look copies them anew, e.g. when the disk has room again
            self._store.remove(id)
            raise
        if job.id != id:
            self._store.remove(id)
        self._meter.series("queued" if job.id == id else "again")
        news = f"a series of {count} files is complete" if job.id == id else "its series was received again"
        _log.info("job %s: %s", job.id[:8], news)

    def _add(self, id: str, series: Complete, digest: str, count: int) -> Job:
        return self._jobs.add(
            owner=_OWNER,
            key=digest,
            upload=(id, digest, count),
            options={"caller": series.caller} if series.caller else {},
            keep_seconds=3600 * self._config.service.keep_hours,
        )

    def _send_results(self, job: Job) -> bool:
        """Send a job's results to every archive that has not confirmed them; returns whether all are confirmed now."""
        folder = self._store.job(job.id)
        if job.id not in self._doubts:
            self._doubts[job.id] = codes = doubts(record_of(folder), self._config.send_despite)
            if codes:
                self._meter.result("held back")
                _log.warning("job %s: held back from the archive: %s", job.id[:8], ", ".join(codes))
        if self._doubts[job.id]:
            return True
        done = True
        for archive in self._archives:
            statuses_path = folder.path / archive.statuses
            statuses: dict[str, int] = (
                json.loads(statuses_path.read_text(encoding="utf-8")) if statuses_path.exists() else {}
            )
            paths = {part_path(folder, part): part for part in self._config.send if not stored(statuses.get(part, -1))}
            if not paths:
                continue
            try:
                answers = archive.send(list(paths))
            except Unavailable as error:
                _log.warning("job %s: %s", job.id[:8], error)
                done = False
                continue
            statuses |= {paths[path]: status for path, status in answers.items()}
            write_json(statuses_path, statuses)
            for path, status in answers.items():
                outcome = "stored" if stored(status) else "not stored"
                self._meter.result("stored" if stored(status) else "not stored")
                more = "" if stored(status) else f" (status {status:#06x})"
                _log.info("job %s: %s: %s%s", job.id[:8], paths[path], outcome, more)
            done &= all(map(stored, answers.values()))
        return done


def doubts(record: ResultRecord, despite: Sequence[str]) -> list[str]:
    """Returns the codes of a record's flags for which its results are held back from the archives.

    Args:
        record: record of a finished job.
        despite: codes of warnings despite which results are sent. More severe flags always hold them back.

    Returns:
        The codes, in the record's order; empty if the results can be sent.
    """
    return [
        flag["code"]
        for flag in record["flags"]
        if flag["severity"] != "note" and not (flag["severity"] == "warning" and flag["code"] in despite)
    ]


@contextmanager
def _errors_logged(what: str) -> Iterator[None]:
    """Log the errors of a step and go on, for the node must not fail on e.g. a full disk or an expired job."""
    try:
        yield
    except Exception as error:
        _log.warning("%s: %s", what, as_insula_error(error))
