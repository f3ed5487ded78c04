"""Runs pieces of work in forks of this process, with limits on time and memory."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

_MOST_MEMORY = 12 << 30
_MOST_FILE = 2 << 30


@dataclass(frozen=True)
class Job:
    """Work for one fork."""

    name: Any
    """What the caller knows it by."""
    work: Callable[[Path], dict[str, Any]]
    """Called in the fork with an empty folder; its result must be JSON."""
    timeout_s: float
    """The fork, and what it started, is killed after this time."""


def in_forks(jobs: Iterator[Job], workers: int, until: float) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Yield jobs with their results as they end.

    Args:
        jobs: taken one by one, whenever a worker is free.
        workers: most forks at a time.
        until: time by `time.monotonic`; forks that still run are killed then, without a result.

    Returns:
        The job and what its work returned, or `{"outcome": "timeout"}`, or `{"outcome": "crash"}` if the fork died.
    """
    gc.collect()
    gc.freeze()
    running: dict[int, tuple[Job, Path, float]] = {}
    try:
        while time.monotonic() < until:
            while len(running) < workers and (job := next(jobs, None)) is not None:
                folder = Path(tempfile.mkdtemp(prefix="mutant-"))
                running[_fork(job, folder)] = (job, folder, time.monotonic() + job.timeout_s)
            if not running:
                return
            for pid, (job, folder, latest) in list(running.items()):
                ended, _ = os.waitpid(pid, os.WNOHANG)
                if ended or time.monotonic() > latest:
                    del running[pid]
                    result = _result(folder) if ended else {"outcome": "timeout"}
                    _end(pid, folder, ended=bool(ended))
                    yield job, result
            time.sleep(0.01)
    finally:
        for pid, (_, folder, _) in running.items():
            _end(pid, folder, ended=False)


def _fork(job: Job, folder: Path) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    return pid if pid else _in_the_fork(job, folder)


def _in_the_fork(job: Job, folder: Path) -> NoReturn:
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_FILE, _MOST_FILE))
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(number, target)
        home = folder / "home"
        home.mkdir()
        os.environ["TMPDIR"] = os.environ["HOME"] = tempfile.tempdir = str(home)
        (folder / "result.json").write_text(json.dumps(job.work(folder)), encoding="utf-8")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _result(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            return {"outcome": "crash", "log": (folder / "log").read_text(errors="replace")[-2000:]}
        return {"outcome": "crash"}


def _end(pid: int, folder: Path, *, ended: bool) -> None:
    """Kill a fork with all processes that it started, and remove its folder."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if not ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    shutil.rmtree(folder, ignore_errors=True)
