"""The node at work: series become jobs, results go to the archive; killed at any moment, nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from insula.config import ListenConfig
from insula.errors import CannotCreate, Interrupted, Unavailable, UsageError, as_insula_error
from insula.io import write_json
from insula.serve.dicom.receive import Complete, Receiver, storage_node
from insula.serve.dicom.send import Target, send, stored
from insula.serve.jobs import Job, Jobs
from insula.serve.opened import opened
from insula.serve.parts import part_path
from insula.serve.store import Store

__all__ = ["listen"]

_log = logging.getLogger(__name__)
_OWNER = "dicom"
_SENT = "sent.json"
_LOOK_SECONDS = 0.5
_NOTHING = ("refused", "failed")


def listen(folder: Path, config: ListenConfig, *, address: tuple[str, int], target: Target | None, announce: Callable[[str], None]) -> None:  # fmt: skip
    """Run the node until SIGINT or SIGTERM.

    Args:
        folder: series, jobs and results; one node at a time.
        config: titles, times, what is sent.
        address: host and port to listen at.
        target: the archive that gets the results; if None they stay in the folder.
        announce: is told when the node listens.

    Raises:
        UsageError: a title that is too long.
        CannotCreate: another node has the folder, or another program the port.
    """
    from pynetdicom import evt

    if not 0 < len(config.title) <= 16:
        raise UsageError("the AE title", config.title, "is not of 1 to 16 characters", "choose another")
    with opened(folder, config.service) as (store, jobs, workers):
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs what was sent, names and all
        receiver = Receiver(store.path / "received")
        receiver.sweep()
        node = _Node(store, jobs, receiver, config, target)
        try:
            server = storage_node(config.title, config.callers).start_server(
                address, block=False, evt_handlers=[(evt.EVT_C_STORE, receiver.store)]
            )
        except OSError:
            raise CannotCreate(
                "the port", address[1], "is taken, or not for this user", "choose another --port"
            ) from None
        assert server is not None
        workers.start()
        sender = threading.Thread(target=node.send_for_ever, daemon=True)
        sender.start()
        try:
            announce(f"{config.title}@{address[0]}:{server.server_address[1]}")
            while True:
                node.look()
                time.sleep(_LOOK_SECONDS)
        finally:
            node.stopping.set()
            server.shutdown()
            workers.stop()
            sender.join()


class _Node:
    """Looks at what has come and what is done, again and again; what fails once is said and tried again."""

    def __init__(
        self, store: Store, jobs: Jobs, receiver: Receiver, config: ListenConfig, target: Target | None
    ) -> None:
        self._store, self._jobs, self._receiver = store, jobs, receiver
        self._config, self._target = config, target
        self._said: set[str] = set()
        self.stopping = threading.Event()

    def look(self) -> None:
        """Make jobs of complete series, say which jobs came to nothing, forget what is old."""
        for series in self._receiver.complete(self._config.quiet_seconds):
            with _told_and_passed_over(f"series {series.digest[:8]}"):
                self._queue(series)
        for job in self._jobs.of(_OWNER):
            if job.state in _NOTHING and job.id not in self._said:
                self._said.add(job.id)
                _log.warning("job %s: %s: %s", job.id[:8], job.state, (job.error or {}).get("message", ""))
        with _told_and_passed_over("old series"):
            self._receiver.forget(3600 * self._config.service.keep_hours)

    def send_for_ever(self) -> None:
        """In a thread of its own, for an archive that is away is waited for."""
        while self._target is not None and not self.stopping.wait(_LOOK_SECONDS):
            refused = False
            for job in self._jobs.of(_OWNER):
                if job.state == "done" and not self.stopping.is_set():
                    with _told_and_passed_over(f"job {job.id[:8]}"):
                        refused |= not self._hand_over(job, self._target)
            if refused:
                self.stopping.wait(self._config.retry_seconds)

    def _queue(self, series: Complete) -> None:
        """Files first, then the job, then the mark: dying in between repeats a step that changes nothing."""
        id = secrets.token_hex(16)
        upload = self._store.job(id).path / "upload"
        series.copy_to(upload)
        count = len(list(upload.iterdir()))
        job = self._add(id, series, count)
        if job.id != id and job.state in _NOTHING:  # sent again after it came to nothing: once more
            self._jobs.delete(job.id)
            self._store.remove(job.id)
            job = self._add(id, series, count)
        if job.id != id:
            self._store.remove(id)
        self._receiver.take(series)
        news = f"a series of {count} files is complete" if job.id == id else "its series has come again"
        _log.info("job %s: %s", job.id[:8], news)

    def _add(self, id: str, series: Complete, count: int) -> Job:
        return self._jobs.add(
            owner=_OWNER, key=series.digest, upload=(id, series.digest, count), options={},
            keep_seconds=3600 * self._config.service.keep_hours,
        )  # fmt: skip

    def _hand_over(self, job: Job, target: Target) -> bool:
        """Send what the archive does not have yet, which is what it has not said it stored; whether it has all now."""
        folder = self._store.job(job.id)
        kept = folder.path / _SENT
        statuses: dict[str, int] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        paths = {part_path(folder, part): part for part in self._config.send if not stored(statuses.get(part, -1))}
        if not paths:
            return True
        try:
            said = send(list(paths), target, title=self._config.title)
        except Unavailable as error:
            _log.warning("job %s: %s", job.id[:8], error)
            return False
        statuses |= {paths[path]: status for path, status in said.items()}
        write_json(kept, statuses)
        for path, status in said.items():
            _log.info(
                "job %s: %s: %s",
                job.id[:8],
                paths[path],
                "stored" if stored(status) else f"not stored (status {status:#06x})",
            )
        return all(map(stored, said.values()))


@contextmanager
def _told_and_passed_over(what: str) -> Iterator[None]:
    """A step that may fail, of a node that must not: a full disk, a job that has just expired."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        _log.warning("%s: %s", what, as_insula_error(error))
