"""Run the node: series become jobs, results go to archives; no acknowledged series is lost if it is killed."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from insula.config import ListenConfig
from insula.serve.audit import Audit, watched_ends
from insula.serve.dicom.associations import Door, check_titles
from insula.serve.dicom.meter import NodeMeter, metrics_door
from insula.serve.dicom.node import Node
from insula.serve.dicom.sender import Archive
from insula.serve.opened import opened

__all__ = ["listen"]

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5


def listen(
    folder: Path,
    config: ListenConfig,
    *,
    address: tuple[str, int],
    archives: Sequence[Archive],
    announce: Callable[[str], None],
) -> None:
    """Run the node until SIGINT or SIGTERM.

    Args:
        folder: folder of the series, jobs and results; one node at a time can use it.
        config: titles, times, limits, and which results are sent.
        address: host and port to listen on.
        archives: archives that get the results; if empty, they stay in the folder.
        announce: called with TITLE@HOST:PORT once the node listens.

    Raises:
        UsageError: an AE title is invalid, or a certificate has no key.
        NoInput, BadData: a certificate does not exist, or is invalid.
        CannotCreate: another node uses the folder, or another program the port.
    """
    check_titles(config)
    audit = Audit(Path(config.service.audit) if config.service.audit else None)
    with opened(folder, config.service) as (store, jobs, workers), watched_ends(jobs, audit):
        _hush()
        meter = NodeMeter(jobs, workers)
        node = Node(store, jobs, config, archives, meter)
        door = Door(config, node.receiver.store, meter, audit)
        with metrics_door(meter, address[0], config.metrics_port), door.opened(address) as port:
            workers.start()
            sender = threading.Thread(target=node.send_for_ever, daemon=True)
            sender.start()
            try:
                announce(f"{config.title}@{address[0]}:{port}")
                while True:
                    node.look()
                    door.tell_cut()
                    time.sleep(_LOOK_SECONDS)
            finally:
                node.stopping.set()
                workers.stop()
                sender.join()


def _hush() -> None:
    """Silence libraries whose log messages and warnings quote received data: names, dates and UIDs."""
    for name in ("pynetdicom", "pydicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    threading.excepthook = _thread_failed


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Log where a thread failed, without the exception's text."""
    name, place = failure.exc_type.__name__, failure.exc_traceback
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else "?"
    _log.error("a thread failed: %s at %s", name, where)
