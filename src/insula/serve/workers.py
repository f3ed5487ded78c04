"""The worker processes, one for each device, and who starts another when one dies."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from insula.config import ServeConfig
from insula.errors import InsulaError, Unavailable, as_insula_error
from insula.infer import choose_device
from insula.serve.jobs import Jobs
from insula.serve.store import Store
from insula.serve.worker import told

__all__ = ["Workers", "check_devices"]

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_SWEEP_SECONDS = 30.0
_AFTER_TROUBLE_SECONDS = 1.0
_LONGEST_PAUSE = 30.0
_COMMAND = "from insula.serve.worker import main; main()"
_STARTS = 5  # of a service at one job: some scan may bring the whole machine down
_QUICK_DEATH = 20.0  # seconds within which dying again is a sign that starting does not help


def check_devices(config: ServeConfig) -> None:
    """Refuse devices that are not there, before anything is promised.

    Raises:
        UsageError, Unavailable: as `choose_device`.
    """
    for device in config.devices:
        choose_device(device)


@dataclass
class _Worker:
    name: str
    device: str
    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    started: float = 0.0
    pause: float = 0.0
    restarts: int = field(default=-1)
    owes: bool = False
    """It died, and what it ran has not been given back yet."""


class Workers:
    """Keeps a process for each device alive, gives back the jobs of those that died, deletes what has expired.

    Args:
        store: the service's folder, swept.
        jobs: its jobs.
        config: devices and limits.
    """

    def __init__(self, store: Store, jobs: Jobs, config: ServeConfig) -> None:
        self._store, self._jobs, self._config = store, jobs, config
        self._workers = [_Worker(f"worker-{n}", device) for n, device in enumerate(config.devices)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._next_sweep = 0.0

    @property
    def ready(self) -> int:
        """How many can take a job."""
        return sum(one.ready and one.process is not None and one.process.poll() is None for one in self._workers)

    @property
    def restarts(self) -> int:
        """How often one had to be started again."""
        return sum(max(one.restarts, 0) for one in self._workers)

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [one.process.pid for one in self._workers if one.process is not None]

    def start(self) -> None:
        """Queue again what a service that died was running; start everything."""
        self._release(None, attempts=max(_STARTS, self._config.attempts))
        self._thread.start()

    def stop(self) -> None:
        """Stop everything; what was running is queued for the next start, and does not count as begun."""
        self._stop.set()
        self._thread.join()
        for one in self._workers:
            if one.process is not None:
                one.process.kill()
                one.process.wait()
        try:
            self._jobs.put_back()
        except InsulaError as error:  # the next start finds them running, and queues them again
            _log.warning("stopping: %s", error)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                overdue = self._jobs.overdue(60 * self._config.job_minutes)
                for one in self._workers:
                    self._tend(one, late=one.name in overdue)
                self._sweep()
            except Exception as error:  # whatever it was, the next look may succeed; nobody else would start workers
                _log.warning("looking after the workers: %s", as_insula_error(error))
                self._stop.wait(_AFTER_TROUBLE_SECONDS)

    def _tend(self, one: _Worker, *, late: bool) -> None:
        if late and one.process is not None:
            _log.warning("%s: at one job for too long, stopped", one.name)
            one.process.kill()
            one.process.wait()
        if one.process is not None and one.process.poll() is not None:
            _log.warning("%s: died (%s)", one.name, one.process.returncode)
            one.pause = (
                min(2 * one.pause + 0.5, _LONGEST_PAUSE) if time.monotonic() - one.started < _QUICK_DEATH else 0.0
            )
            one.process, one.ready, one.owes = None, False, True
            shutil.rmtree(self._store.temporary(one.name), ignore_errors=True)
        if one.owes:  # again and again while the store is locked or full; no job says for ever that it runs
            self._release(one.name, attempts=self._config.attempts)
            one.owes = False
        if one.process is None and time.monotonic() >= one.started + one.pause:
            self._begin(one)

    def _begin(self, one: _Worker) -> None:
        command = [sys.executable, "-c", _COMMAND, str(self._store.path), one.device, one.name]
        temporary = self._store.temporary(one.name)
        temporary.mkdir(parents=True, exist_ok=True)
        one.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        one.started, one.restarts = time.monotonic(), one.restarts + 1
        threading.Thread(target=_listen, args=(one, one.process), daemon=True).start()

    def _release(self, worker: str | None, *, attempts: int) -> None:
        error = told(
            Unavailable("the worker", "", f"died {attempts} times at this scan", "check the server's log and memory")
        )
        for job in self._jobs.release(worker, attempts=attempts, error=error):
            _log.warning("job %s: its worker died; now %s", job.id, job.state)

    def _sweep(self) -> None:
        if time.monotonic() < self._next_sweep:
            return
        for id in self._jobs.expired():
            self._store.remove(id)
            self._jobs.delete(id)
        self._jobs.count_on()
        self._store.reserve.hold()
        self._next_sweep = time.monotonic() + _SWEEP_SECONDS


def _listen(one: _Worker, process: subprocess.Popen[bytes]) -> None:
    """A worker says one line, when it can take jobs."""
    assert process.stdout is not None
    if process.stdout.readline() and one.process is process:
        one.ready = True
    process.stdout.read()
