"""A service for tests: the real one, in its own process, with small limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import psutil
import pytest

from insula.volume import Case

TOKEN = "a-token-for-tests"


@dataclass
class Running:
    """A service and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client
    store: Path
    log: Path

    def post(self, data: bytes, **options: Any) -> httpx.Response:
        return self.client.post("/v1/segment", content=data, **options)

    def wait(self, id: str, *, seconds: float = 60) -> dict[str, Any]:
        """Until a job has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.client.get(f"/v1/jobs/{id}").json()
            if status["state"] in ("done", "refused", "failed"):
                return status
            time.sleep(0.1)
        raise AssertionError(f"job {id} did not end: {status}; {self.log.read_text()}")

    def workers(self) -> list[int]:
        """Their process numbers."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def ready(self) -> None:
        """Wait until a worker can take a job."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.client.get("/health").json()["workers"]:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())


@contextmanager
def service(folder: Path, weights: Path, *sets: str, wait: bool = True, more: Sequence[str] = ()) -> Iterator[Running]:
    """Start one in a folder, with more arguments; another start in the same folder finds the same jobs."""
    folder.mkdir(exist_ok=True)
    log = folder.with_name(f"{folder.name}-log.txt")
    command = [
        sys.executable,
        "-m",
        "insula",
        "serve",
        "--store",
        str(folder / "store"),
        "--port",
        "0",
        "--weights",
        str(weights),
    ]
    for setting in ('devices=["cpu"]', *sets):
        command += ["--set", setting]
    command += more
    with open(log, "a") as file:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env={**os.environ, "INSULA_TOKEN": TOKEN},
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), log.read_text()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=address.removesuffix("study/").rstrip("/"), headers=headers, timeout=30) as client:
            running = Running(process, client, folder / "store", log)
            if wait:
                running.ready()
            yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def scan_bytes(coarse_case: Case, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The phantom as a .nii.gz."""
    path = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    nib.save(
        nib.Nifti1Image(
            (3000 * coarse_case.scan.image / coarse_case.scan.image.max()).astype(np.int16),
            coarse_case.scan.grid.affine,
        ),
        path,
    )
    return path.read_bytes()


@pytest.fixture(scope="module")
def start(quiet_weights: Path) -> Callable[..., Any]:
    """`service` with the small network."""

    def begin(folder: Path, *sets: str, wait: bool = True) -> Any:
        return service(folder, quiet_weights, *sets, wait=wait)

    return begin


@pytest.fixture(scope="module")
def running(start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One that the quick tests share."""
    limits = ("most_queued=4", "most_mb=2", "header_seconds=1.5", "body_seconds=1.5")
    with start(tmp_path_factory.mktemp("service"), *limits) as started:
        yield started
