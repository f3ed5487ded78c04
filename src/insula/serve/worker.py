"""The worker process, which segments jobs one after another on one device; if it dies, the service lives on.

It ends when its standard input closes, which happens when the service is gone, however it died.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from insula.config import SegmentConfig, ServeConfig, from_dict
from insula.errors import (
    BadData,
    InsulaError,
    InternalBug,
    IOFault,
    NoInput,
    Unavailable,
    UsageError,
    as_insula_error,
    place_of,
)
from insula.serve.jobs import Job, Jobs
from insula.serve.parts import pack
from insula.serve.store import JobStore

if TYPE_CHECKING:
    from insula.checkpoint import Weights

__all__ = ["error_body", "main", "run_job", "work"]

_LOOK_SECONDS = 0.1
_WAIT_SECONDS = 60.0  # for the store: a worker keeps no client waiting, and giving up would lose its result
_NICENESS = 10
_REFUSED = (BadData, NoInput, UsageError)  # errors of the input or its options; another attempt would not help


def main() -> None:
    """Run a worker process; its arguments are the service's folder, a device and a name."""
    folder, device, name = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the service, which stops its workers itself
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)  # the service's responses take precedence
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    work(JobStore(Path(folder)), device=device, name=name)


def work(store: JobStore, *, device: str, name: str) -> None:
    """Take jobs and run them, for ever.

    Args:
        store: the service's folder.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        name: name under which it takes jobs.
    """
    from insula.checkpoint import load_weights

    config = from_dict(ServeConfig, json.loads(store.settings.read_text(encoding="utf-8")), what="the settings")
    weights = load_weights(config.model)
    jobs = Jobs(store.database, wait_seconds=_WAIT_SECONDS)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        job = _next(jobs, name)
        if job is None:
            time.sleep(_LOOK_SECONDS)
            continue
        try:
            run_job(job, jobs, store, weights, device=device)
        except Exception as error:
            known = as_insula_error(error)
            folder = store.job(job.id)
            folder.clear()
            if isinstance(known, _REFUSED) or not folder.path.exists():  # deleted while it ran: no job is left to end
                jobs.end(job, "refused", error_body(known))
                continue
            if job.attempts >= config.attempts:
                jobs.end(job, "failed", error_body(known))
            # After a full disk, a lost GPU or a bug a new process may succeed; each one starts after a longer pause
            sys.exit(f"job {job.id}: {place_of(error)}")


def _next(jobs: Jobs, name: str) -> Job | None:
    """Take a job; None if there is none, or if the store is locked or unreadable at the moment."""
    try:
        return jobs.take(name)
    except (Unavailable, IOFault):
        time.sleep(_LOOK_SECONDS * 10)
        return None


def run_job(job: Job, jobs: Jobs, store: JobStore, weights: Weights, *, device: str) -> None:
    """Read the scan of a job, segment it, write the results and end the job.

    A job whose lease is lost is abandoned.

    Raises:
        InsulaError: the scan is refused, or a disk or device fails; the job has not ended then.
    """
    from insula.predict import segment
    from insula.report import write_case
    from insula.serve.scans import read_upload, write_view

    folder = store.job(job.id)
    options = job.options
    scan, source = read_upload(folder, options)
    if not jobs.tell(job, "segmenting", 0.2):
        return
    config = SegmentConfig(
        device=device,
        threshold=options.get("threshold"),
        tta=bool(options.get("tta")),
        assume_t1w=bool(options.get("assume_t1w")),
    )
    result = segment(scan, config, weights=weights)
    if not jobs.tell(job, "writing", 0.8):
        return
    paths = folder.results
    paths.record.parent.mkdir(exist_ok=True)
    write_view(folder.scan, scan)
    write_case(result, paths, source=source)
    pack(paths.record.parent, folder.archive)
    jobs.end(job, "done")


def error_body(error: InsulaError) -> dict[str, str]:
    """Returns an error as the service reports it; without the text of a bug, which may quote the upload."""
    if isinstance(error, InternalBug):
        error = InternalBug(
            "insula", "", "has a bug that this scan triggers", "report it, with the version and the kind of scan"
        )
    return {
        "kind": type(error).__name__,
        "what": error.what,
        "value": error.value,
        "rule": error.rule,
        "remedy": error.remedy,
        "message": str(error),
    }


def _end_with_the_service() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock no thread may hold when Python exits
        pass
    os._exit(0)
