"""The node at work: series become jobs, results go to archives; killed at any moment, nothing that was acknowledged is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from insula.config import ListenConfig
from insula.serve.audit import Audit, watched_ends
from insula.serve.dicom.associations import Door, check_titles
from insula.serve.dicom.meter import NodeMeter, metrics_door
from insula.serve.dicom.node import Node
from insula.serve.dicom.send import Archive
from insula.serve.opened import opened

__all__ = ["listen"]

_LOOK_SECONDS = 0.5


def listen(folder: Path, config: ListenConfig, *, address: tuple[str, int], archives: Sequence[Archive], announce: Callable[[str], None]) -> None:  # fmt: skip
    """Run the node until SIGINT or SIGTERM.

    Args:
        folder: series, jobs and results; one node at a time.
        config: titles, times, limits, what is sent.
        address: host and port to listen at.
        archives: who gets the results; if none they stay in the folder.
        announce: is told when the node listens.

    Raises:
        UsageError: a title that is none, or a certificate without its key.
        NoInput, BadData: a certificate that is not there, or is none.
        CannotCreate: another node has the folder, or another program the port.
    """
    check_titles(config)
    audit = Audit(Path(config.service.audit) if config.service.audit else None)
    with opened(folder, config.service) as (store, jobs, workers), watched_ends(jobs, audit):
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs what was sent, names and all
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
