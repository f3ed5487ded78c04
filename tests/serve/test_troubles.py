"""The real service with a locked, full, damaged or lost store: it answers, loses nothing, and goes on."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MB; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)]
    if not hasattr(os, "geteuid") or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    """Another program that takes whatever room there is."""
    path, stop = folder / "other", threading.Event()

    def fill() -> None:
        with open(path, "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def go_on() -> None:
        while not stop.wait(0.05):
            fill()

    fill()
    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        path.unlink()


def test_a_full_disk_lets_jobs_end_and_be_deleted(start: Any, scan_bytes: bytes, small_disk: Path) -> None:
    with start(small_disk, "attempts=1") as running:
        ids = [running.post(scan_bytes).json()["id"]]
        assert running.wait(ids[0])["state"] == "done"
        (worker,) = map(psutil.Process, running.workers())
        worker.suspend()
        ids.append(running.post(scan_bytes).json()["id"])
        with _full(small_disk):
            worker.resume()
            status = running.wait(ids[1])
            assert (status["state"], status["error"]["kind"]) == ("failed", "CannotCreate")
            full = running.post(bytes(5 << 20))
            assert full.status_code == 507
            assert int(full.headers["retry-after"]) > 0
            assert "no space is left" in full.json()["error"]["message"]
            for id in ids:
                assert running.client.delete(f"/v1/jobs/{id}").status_code == 204
                assert running.client.get(f"/v1/jobs/{id}").status_code == 404
                assert not (running.store / "jobs" / id).exists()
        running.ready()
        assert running.wait(running.post(scan_bytes).json()["id"])["state"] == "done"


def test_a_full_disk_is_no_reason_not_to_start(start: Any, scan_bytes: bytes, small_disk: Path) -> None:
    with start(small_disk) as running:
        id = running.post(scan_bytes).json()["id"]
        assert running.wait(id)["state"] == "done"
    with _full(small_disk), start(small_disk, wait=False) as running:
        assert running.client.get(f"/v1/jobs/{id}").json()["state"] == "done"
        assert running.client.delete(f"/v1/jobs/{id}").status_code == 204


def test_a_locked_store_is_told_soon(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    with start(tmp_path) as running:
        id = running.post(scan_bytes).json()["id"]
        running.wait(id)
        other = sqlite3.connect(running.store / "jobs.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for method, path, status in (
            ("GET", f"/v1/jobs/{id}", 200),
            ("GET", "/v1/jobs", 200),
            ("GET", f"/v1/jobs/{id}/result", 200),
            ("GET", "/health", 200),
            ("GET", "/metrics", 200),
            ("POST", "/v1/segment", 503),
            ("DELETE", f"/v1/jobs/{id}", 503),
        ):
            begun = time.monotonic()
            answer = running.client.request(method, path, content=scan_bytes if method == "POST" else None)
            assert (answer.status_code, time.monotonic() - begun < 12) == (status, True), path
            if status == 503:
                assert int(answer.headers["retry-after"]) > 0
                assert "locked" in answer.json()["error"]["message"]
        other.execute("ROLLBACK")
        other.close()
        assert running.client.delete(f"/v1/jobs/{id}").status_code == 204
        assert running.wait(running.post(scan_bytes).json()["id"])["state"] == "done"
        assert list((running.store / "incoming").iterdir()) == []


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_without_its_file_of_jobs_the_service_starts_and_keeps_their_folders(
    damage: str, start: Any, scan_bytes: bytes, tmp_path: Path
) -> None:
    with start(tmp_path) as running:
        id = running.post(scan_bytes).json()["id"]
        running.wait(id)
    database = running.store / "jobs.sqlite"
    kept = database.read_bytes()
    database.unlink() if damage == "missing" else database.write_bytes(b"" if damage == "empty" else b"hello " * 999)
    with start(tmp_path) as running:
        assert running.client.get("/v1/jobs").json() == []
        assert (running.store / "quarantine" / id / "results.zip").is_file()
        assert "1 folders belong to no job" in running.log.read_text()
        assert running.wait(running.post(scan_bytes).json()["id"])["state"] == "done"
    for path in running.store.glob("jobs.sqlite*"):
        path.unlink()
    database.write_bytes(kept)
    with start(tmp_path, wait=False) as running:
        assert running.client.get(f"/v1/jobs/{id}/result").status_code == 200, "from a backup it is known again"
