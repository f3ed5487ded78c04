"""What the service and the DICOM node begin with: a private folder, its jobs, and workers that are not started yet."""

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
from insula.serve.store import Store
from insula.serve.workers import Workers, check_devices

__all__ = ["opened"]


@contextmanager
def opened(folder: Path, config: ServeConfig) -> Iterator[tuple[Store, Jobs, Workers]]:
    """Lock a folder and sweep it, open its jobs, leave the settings where workers read them.

    Args:
        folder: made if it is not there.
        config: devices and model are checked first, so that what is wrong with them is said once, here.

    Raises:
        UsageError, Unavailable, NoInput: a device or a model that is not there.
        CannotCreate: another process has the folder, or the disk is full and no room was kept.
        Busy, IOFault: the file of jobs is locked, or cannot be read.
    """
    os.umask(0o077)  # what was sent is for this user's eyes
    check_devices(config)
    load_weights(config.model)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with OutputFolder(folder, option="--store"):
        store = Store(folder.resolve())
        store.reserve.spend(store.mend)
        jobs = Jobs(store.database)
        try:
            store.sweep(jobs.ids())
            store.reserve.spend(lambda: write_json(store.settings, to_dict(config)))
            store.reserve.hold()
            yield store, jobs, Workers(store, jobs, config)
        finally:
            jobs.close()
