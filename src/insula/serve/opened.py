"""Start-up shared by the service and the DICOM node: lock the folder, open its jobs, prepare the workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insula.checkpoint import load_weights
from insula.config import ServeConfig, to_dict
from insula.io import OutputFolder, write_json
from insula.serve.jobs import Jobs
from insula.serve.store import JobStore
from insula.serve.workers import Workers, check_devices

__all__ = ["opened"]


@contextmanager
def opened(folder: Path, config: ServeConfig) -> Iterator[tuple[JobStore, Jobs, Workers]]:
    """Lock a folder and sweep it, open its jobs, and write the settings where the workers read them.

    Args:
        folder: the service's folder; created if missing.
        config: settings; devices and model are checked first, so that an error in them is reported once, here.

    Yields:
        The store, its jobs, and the workers, which are not started yet.

    Raises:
        UsageError, Unavailable, NoInput: a device or the model does not exist.
        CannotCreate: another process uses the folder, or the disk is full and the reserve is used up.
        Busy, IOFault: the job database is locked, or cannot be read.
    """
    os.umask(0o077)  # only this user may read the uploads
    check_devices(config)
    load_weights(config.model)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with OutputFolder(folder, option="`store`"):
        store = JobStore(folder.resolve())
        store.reserve.spend(store.mend)
        jobs = Jobs(store.database)
        try:
            store.sweep(jobs.ids())
            store.reserve.spend(lambda: write_json(store.settings, to_dict(config)))
            store.reserve.hold()
            yield store, jobs, Workers(store, jobs, config)
        finally:
            jobs.close()
