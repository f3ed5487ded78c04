"""Whatever is killed: every job is there afterwards, and has ended or will."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_worker_takes_nothing_with_it(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    with start(tmp_path, "attempts=5") as running:
        ids = [running.post(scan_bytes).json()["id"] for _ in range(3)]
        for pid in running.workers():
            os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        assert running.client.get("/health").status_code == 200
        assert time.monotonic() - begun < 5, "the service answers while its worker is dead"
        assert [running.wait(id)["state"] for id in ids] == ["done"] * 3
        assert "insula_worker_restarts 1.0" in running.client.get("/metrics").text


def test_a_scan_that_kills_its_worker_fails_and_the_next_is_served(
    start: Any, scan_bytes: bytes, tmp_path: Path
) -> None:
    with start(tmp_path, "attempts=1") as running:
        for _ in range(10):  # a job may be done before its worker is killed
            id = running.post(scan_bytes, params={"tta": True}).json()["id"]
            while running.client.get(f"/v1/jobs/{id}").json()["state"] == "queued":
                time.sleep(0.005)
            for pid in running.workers():
                os.kill(pid, signal.SIGKILL)
            status = running.wait(id)
            if status["state"] == "failed":
                break
        assert status["state"] == "failed"
        assert "died" in status["error"]["message"]
        assert running.wait(running.post(scan_bytes).json()["id"])["state"] == "done"


def test_a_killed_service_loses_no_job_and_leaves_no_process(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    with start(tmp_path, wait=False) as running:
        ids = [running.post(scan_bytes).json()["id"] for _ in range(4)]
        (running.store / "incoming" / "half").write_bytes(b"an upload that was on its way")
        workers = running.workers()
        running.process.kill()
        running.process.wait()
    end = time.monotonic() + 10
    while any(map(_alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(_alive, workers))
    with start(tmp_path) as running:
        assert {job["id"] for job in running.client.get("/v1/jobs").json()} == set(ids)
        assert [running.wait(id)["state"] for id in ids] == ["done"] * 4
        assert list((running.store / "incoming").iterdir()) == []


def test_a_service_that_is_stopped_hands_its_jobs_to_the_next(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    with start(tmp_path, "attempts=1") as running:
        ids = [running.post(scan_bytes).json()["id"] for _ in range(3)]
    with start(tmp_path, "attempts=1") as running:
        assert [running.wait(id)["state"] for id in ids] == ["done"] * 3


def test_a_signal_to_the_whole_group_is_a_stop_like_any_other(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches the workers too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with start(tmp_path, "attempts=1") as running:
            ids = [running.post(scan_bytes).json()["id"] for _ in range(3)]
            os.killpg(running.process.pid, number)
            running.process.wait(20)
        with start(tmp_path, "attempts=1") as running:
            assert [running.wait(id)["state"] for id in ids] == ["done"] * 3


def test_results_expire(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    with start(tmp_path, "keep_hours=0.0005") as running:
        id = running.post(scan_bytes).json()["id"]
    time.sleep(2)
    with start(tmp_path) as running:
        end = time.monotonic() + 20
        while running.client.get("/v1/jobs").json() and time.monotonic() < end:
            time.sleep(0.1)
        assert running.client.get(f"/v1/jobs/{id}").status_code == 404
        assert not (running.store / "jobs" / id).exists()
