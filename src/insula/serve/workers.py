"""Start one worker process for each device, and replace those that die."""

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
from insula.serve.store import JobStore
from insula.serve.worker import error_body

__all__ = ["Workers", "check_devices"]

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_SWEEP_SECONDS = 30.0
_AFTER_TROUBLE_SECONDS = 1.0
_LONGEST_PAUSE = 30.0
_COMMAND = "from insula.serve.worker import main; main()"
_STARTS = 5  # of the service on the same job: a scan may bring the whole machine down
_QUICK_DEATH = 20.0  # seconds; a worker that dies sooner than this is restarted only after a pause


def check_devices(config: ServeConfig) -> None:
    """Check that all configured devices exist, before the service accepts anything.

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
    owes_job: bool = False
    """Whether the worker died and its job has not been queued again yet."""


class Workers:
    """Keeps a worker process for each device alive, queues the jobs of dead workers again, deletes expired jobs.

    Args:
        store: the service's folder, already swept.
        jobs: the service's jobs.
        config: devices and limits.
    """

    def __init__(self, store: JobStore, jobs: Jobs, config: ServeConfig) -> None:
        self._store, self._jobs, self._config = store, jobs, config
        self._workers = [_Worker(f"worker-{n}", device) for n, device in enumerate(config.devices)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._next_sweep = 0.0

    @property
    def ready(self) -> int:
        """Number of workers that can take a job."""
        return sum(
            worker.ready and worker.process is not None and worker.process.poll() is None for worker in self._workers
        )

    @property
    def restarts(self) -> int:
        """Number of times that a worker had to be restarted."""
        return sum(max(worker.restarts, 0) for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    def start(self) -> None:
        """Queue again the jobs that a killed service was running, and start the workers."""
        self._release(None, attempts=max(_STARTS, self._config.attempts))
        self._thread.start()

    def stop(self) -> None:
        """Stop the workers; running jobs are queued for the next start, and this attempt does not count."""
        self._stop.set()
        self._thread.join()
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()
                worker.process.wait()
        try:
            self._jobs.put_back()
        except InsulaError as error:  # the next start queues them again, as they are still running
            _log.warning("stopping: %s", error)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                overdue = self._jobs.overdue(60 * self._config.job_minutes)
                for worker in self._workers:
                    self._tend(worker, late=worker.name in overdue)
                self._sweep()
            except Exception as error:  # the next round may succeed, and no other thread starts workers
                _log.warning("looking after the workers: %s", as_insula_error(error))
                self._stop.wait(_AFTER_TROUBLE_SECONDS)

    def _tend(self, worker: _Worker, *, late: bool) -> None:
        if late and worker.process is not None:
            _log.warning("%s: stopped, its job took too long", worker.name)
            worker.process.kill()
            worker.process.wait()
        if worker.process is not None and worker.process.poll() is not None:
            _log.warning("%s: died (%s)", worker.name, worker.process.returncode)
            worker.pause = (
                min(2 * worker.pause + 0.5, _LONGEST_PAUSE) if time.monotonic() - worker.started < _QUICK_DEATH else 0.0
            )
            worker.process, worker.ready, worker.owes_job = None, False, True
            shutil.rmtree(self._store.temporary(worker.name), ignore_errors=True)
        if worker.owes_job:  # repeated while the store is locked or full, so that no job stays running for ever
            self._release(worker.name, attempts=self._config.attempts)
            worker.owes_job = False
        if worker.process is None and time.monotonic() >= worker.started + worker.pause:
            self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        command = [sys.executable, "-c", _COMMAND, str(self._store.path), worker.device, worker.name]
        temporary = self._store.temporary(worker.name)
        temporary.mkdir(parents=True, exist_ok=True)
        worker.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        worker.started, worker.restarts = time.monotonic(), worker.restarts + 1
        threading.Thread(target=_listen, args=(worker, worker.process), daemon=True).start()

    def _release(self, worker: str | None, *, attempts: int) -> None:
        error = error_body(
            Unavailable("the worker", "", f"died {attempts} times on this scan", "check the server's log and memory")
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


def _listen(worker: _Worker, process: subprocess.Popen[bytes]) -> None:
    """Wait for the line with which a worker reports that it can take jobs."""
    assert process.stdout is not None
    if process.stdout.readline() and worker.process is process:
        worker.ready = True
    process.stdout.read()
