"""A node in its own process, an archive in this one, and series to send."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    Verification,
)


@dataclass
class Node:
    """A running `insula dicom listen`."""

    process: subprocess.Popen[str]
    port: int
    store: Path
    log: Path

    def send(self, folder: Path, *, title: str = "SCANNER", leave_out: int = 0) -> list[int]:
        """Send a series as a scanner does; the statuses of its instances."""
        caller = AE(ae_title=title)
        caller.dimse_timeout = caller.network_timeout = 120  # a disk that is busy with other tests is waited for
        caller.add_requested_context(MRImageStorage)
        caller.add_requested_context(Verification)
        association = caller.associate("127.0.0.1", self.port, ae_title="INSULA")
        if not association.is_established:
            return []
        files = sorted(folder.iterdir())
        statuses = [int(association.send_c_store(dcmread(path)).Status) for path in files[: len(files) - leave_out]]
        association.release()
        return statuses

    def wait_for(self, text: str, *, seconds: float = 60, times: int = 1) -> str:
        """Wait until the log holds a text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            log = self.log.read_text()
            if log.count(text) >= times:
                return log
            assert self.process.poll() is None, log
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())


@dataclass
class Archive:
    """What takes results, or does not."""

    port: int = 0
    refuse: int = 0
    """So many instances get an out-of-resources status first."""
    got: list[Dataset] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def store(self, event: Any) -> int:
        with self.lock:
            if self.refuse > 0:
                self.refuse -= 1
                return 0xA700
            self.got.append(event.dataset)
        return 0x0000

    def wait(self, count: int, *, seconds: float = 60) -> list[Dataset]:
        end = time.monotonic() + seconds
        while len(self.got) < count and time.monotonic() < end:
            time.sleep(0.05)
        assert len(self.got) >= count
        return self.got


@contextmanager
def node(folder: Path, weights: Path, *arguments: str) -> Iterator[Node]:
    """Start one in a folder."""
    folder.mkdir(exist_ok=True)
    log = folder / "log.txt"
    command = [
        sys.executable,
        "-m",
        "insula",
        "dicom",
        "listen",
        "--store",
        str(folder / "store"),
        "--port",
        "0",
        "--weights",
        str(weights),
    ]
    for setting in ("quiet_seconds=1", "retry_seconds=0.5", 'service.devices=["cpu"]'):
        command += ["--set", setting]
    with open(log, "a") as file:
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("INSULA@127.0.0.1:"), log.read_text()
        yield Node(process, int(line.rpartition(":")[2]), folder / "store", log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def start_node(quiet_weights: Path) -> Callable[..., Any]:
    """`node` with the small network."""

    def begin(folder: Path, *arguments: str) -> Any:
        return node(folder, quiet_weights, *arguments)

    return begin


@pytest.fixture
def archive() -> Iterator[Archive]:
    """One that speaks C-STORE."""
    new_archive = Archive()
    entity = AE(ae_title="ARCHIVE")
    for kind in (SegmentationStorage, Comprehensive3DSRStorage, SecondaryCaptureImageStorage):
        entity.add_supported_context(kind)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, new_archive.store)])
    assert server is not None
    new_archive.port = server.server_address[1]
    yield new_archive
    server.shutdown()
