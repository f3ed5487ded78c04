"""The node at work: series become jobs, results go to the archive; killed at any moment, nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from insula.checkpoint import load_weights
from insula.config import ListenConfig, to_dict
from insula.errors import CannotCreate, Unavailable, UsageError
from insula.io import OutputFolder, write_json
from insula.serve.dicom.receive import Complete, Receiver, storage_node
from insula.serve.dicom.send import Target, send, stored
from insula.serve.jobs import Job, Jobs
from insula.serve.parts import part_path
from insula.serve.store import Store
from insula.serve.workers import Workers

__all__ = ["listen"]

_log = logging.getLogger(__name__)
_OWNER = "dicom"
_SENT = "sent.json"
_LOOK_SECONDS = 0.5


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
    load_weights(config.service.model)  # a wrong name is said once, here
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs what was sent, names and all
    with OutputFolder(folder):
        store = Store(folder.resolve())
        receiver = Receiver(store.path / "received")
        receiver.sweep()
        jobs = Jobs(store.database)
        store.sweep(jobs.ids())
        write_json(store.settings, to_dict(config.service))
        workers = Workers(store, jobs, config.service)
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
        try:
            announce(f"{config.title}@{address[0]}:{server.server_address[1]}")
            while True:
                node.look()
                time.sleep(_LOOK_SECONDS)
        finally:
            server.shutdown()
            workers.stop()
            jobs.close()


class _Node:
    """One look at everything, again and again."""

    def __init__(
        self, store: Store, jobs: Jobs, receiver: Receiver, config: ListenConfig, target: Target | None
    ) -> None:
        self._store, self._jobs, self._receiver = store, jobs, receiver
        self._config, self._target = config, target
        self._next_try: dict[str, float] = {}
        self._said: set[str] = set()

    def look(self) -> None:
        for series in self._receiver.complete(self._config.quiet_seconds):
            self._queue(series)
        for job in self._jobs.of(_OWNER):
            if job.state in ("refused", "failed") and job.id not in self._said:
                self._said.add(job.id)
                _log.warning("job %s: %s: %s", job.id[:8], job.state, (job.error or {}).get("message", ""))
            if job.state == "done":
                self._hand_over(job)
        self._receiver.forget(3600 * self._config.service.keep_hours)

    def _queue(self, series: Complete) -> None:
        """Files first, then the job, then the mark: dying in between repeats a step that changes nothing."""
        id = secrets.token_hex(16)
        upload = self._store.job(id).path / "upload"
        series.copy_to(upload)
        job = self._jobs.add(
            owner=_OWNER, key=series.digest, upload=(id, series.digest, len(list(upload.iterdir()))), options={},
            keep_seconds=3600 * self._config.service.keep_hours,
        )  # fmt: skip
        if job.id != id:
            self._store.remove(id)
        self._receiver.take(series)
        _log.info(
            "job %s: a series of %d files is complete",
            job.id[:8],
            len(list(self._store.job(job.id).path.glob("upload/*"))),
        )

    def _hand_over(self, job: Job) -> None:
        """Send what the archive does not have yet; it has what it said it stored."""
        folder = self._store.job(job.id)
        kept = folder.path / _SENT
        statuses: dict[str, int] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        left = [part for part in self._config.send if not stored(statuses.get(part, -1))]
        if self._target is None or not left or time.monotonic() < self._next_try.get(job.id, 0):
            return
        paths = {part_path(folder, part): part for part in left}
        try:
            said = send(list(paths), self._target, title=self._config.title)
        except Unavailable as error:
            said = {}
            _log.warning("job %s: %s", job.id[:8], error)
        statuses |= {paths[path]: status for path, status in said.items()}
        write_json(kept, statuses)
        for path, status in said.items():
            _log.info(
                "job %s: %s: %s",
                job.id[:8],
                paths[path],
                "stored" if stored(status) else f"not stored (status {status:#06x})",
            )
        if not all(stored(statuses.get(part, -1)) for part in left):
            self._next_try[job.id] = time.monotonic() + self._config.retry_seconds
