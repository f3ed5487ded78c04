"""insula serve under load: many clients, bad uploads, workers killed at random; lost jobs and response times.

python -m studies.load [--clients 50] [--minutes 10] [--weights NAME] [--out studies/results/load.json]

Exits with 1 if a job was lost, an accepted good scan did not end as done, or an answer was a 5xx other than 503. Times
are reported, not judged.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import psutil

from insula.io import write_json
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
from studies.rows import table

_BAD = 0.05
_SPREAD = 1 / 30  # share of the time over which clients start
_ENDED = ("done", "refused", "failed")
_ATTEMPTS = 20  # random kills may hit one job several times


@dataclass
class Seen:
    """Observations of all clients."""

    statuses: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    accept_ms: list[float] = field(default_factory=list)
    health_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    kills: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    open: set[str] = field(default_factory=set)
    """Ids of jobs that were accepted and have not ended."""


def main() -> None:
    """Start a service, put it under load and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--weights", default="enhanced")
    parser.add_argument("--spacing", type=float, default=1.0, help="voxel size of the phantom [mm]")
    parser.add_argument("--kill-seconds", type=float, default=20, help="mean time between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = _scan(Path(folder), arguments.spacing)
        seen = _load(Path(folder), good, arguments)
    summary = _summary(seen, len(good))
    print(table(("", "found"), [(name, str(value)) for name, value in summary.items()]))
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out, summary)
    wrong = [code for code in seen.statuses if code.startswith("5") and code != "503"]
    sys.exit(1 if seen.lost or wrong or seen.ends["failed"] or not seen.ends["done"] else 0)


def _scan(folder: Path, spacing: float) -> bytes:
    """The phantom as an uncompressed NIfTI file: 15 MB at 1 mm."""
    case = phantom_case(phantom_grid(spacing_mm=(spacing,) * 3))
    nib.save(
        nib.Nifti1Image((3000 * case.scan.image / case.scan.image.max()).astype(np.int16), case.scan.grid.affine),
        folder / "scan.nii",
    )
    return (folder / "scan.nii").read_bytes()


def _load(folder: Path, good: bytes, arguments: argparse.Namespace) -> Seen:
    token, seen, stop = secrets.token_urlsafe(), Seen(), threading.Event()
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
        arguments.weights,
    ]
    environment = {**os.environ, "INSULA_TOKEN": token}
    command += ["--set", f"attempts={_ATTEMPTS}"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=address, timeout=60) as client:
            while not client.get("/health").json()["workers"]:
                time.sleep(0.2)
        work = [
            threading.Thread(
                target=_client,
                args=(
                    address,
                    headers,
                    good,
                    random.Random(f"{arguments.seed} {n}"),
                    seen,
                    stop,
                    60 * arguments.minutes * _SPREAD,
                ),
            )
            for n in range(arguments.clients)
        ]
        watch = [
            threading.Thread(target=_health, args=(address, process.pid, seen, stop)),
            threading.Thread(
                target=_kill, args=(process.pid, arguments.kill_seconds, random.Random(arguments.seed), seen, stop)
            ),
        ]
        for thread in (*work, *watch):
            thread.start()
        time.sleep(60 * arguments.minutes)
        stop.set()
        for thread in (*work, *watch):
            thread.join()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    seen.lost += [f"{id}: never ended" for id in seen.open]
    return seen


def _client(
    address: str,
    headers: dict[str, str],
    good: bytes,
    chance: random.Random,
    seen: Seen,
    stop: threading.Event,
    spread: float,
) -> None:
    """One client: upload, wait for the end, delete; retry after a 503; sometimes upload a bad file."""
    stop.wait(spread * chance.random())  # real clients do not all start at once
    with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
        while not stop.is_set():
            bad = chance.random() < _BAD
            data = chance.choice((b"rubbish", good[: len(good) // 3], b"PK\x03\x04" + bytes(100))) if bad else good
            begun = time.perf_counter()
            try:
                answer = client.post("/v1/segment", content=data)
            except httpx.TransportError as error:
                seen.broken[type(error).__name__] += 1
                continue
            seen.statuses[str(answer.status_code)] += 1
            if answer.status_code == 503:
                stop.wait(float(answer.headers["retry-after"]) * (0.8 + 0.4 * chance.random()))
            elif answer.status_code == 202:
                if not bad:
                    seen.accept_ms.append(1000 * (time.perf_counter() - begun))
                seen.open.add(answer.json()["id"])
                _follow(client, answer.json()["id"], "refused" if bad else "done", seen)


def _follow(client: httpx.Client, id: str, wanted: str, seen: Seen) -> None:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        answer = client.get(f"/v1/jobs/{id}")
        if answer.status_code != 200:
            seen.statuses[str(answer.status_code)] += 1
            break
        state = answer.json()["state"]
        if state in _ENDED:
            seen.ends[state] += 1
            seen.open.discard(id)
            if state != wanted:
                seen.lost.append(f"{id}: {state}, not {wanted}")
            seen.statuses[str(client.delete(f"/v1/jobs/{id}").status_code)] += 1
            return
        time.sleep(0.5)
    seen.lost.append(f"{id}: {answer.status_code}")


def _health(address: str, pid: int, seen: Seen, stop: threading.Event) -> None:
    with httpx.Client(base_url=address, timeout=60) as client:
        while not stop.wait(0.25):
            begun = time.perf_counter()
            try:
                seen.statuses[str(client.get("/health").status_code)] += 1
            except httpx.TransportError as error:
                seen.broken[f"/health: {type(error).__name__}"] += 1
                continue
            seen.health_ms.append(1000 * (time.perf_counter() - begun))
            seen.memory_mb.append(psutil.Process(pid).memory_info().rss / 1e6)


def _kill(pid: int, seconds: float, chance: random.Random, seen: Seen, stop: threading.Event) -> None:
    while not stop.wait(chance.expovariate(1 / seconds)):
        for child in psutil.Process(pid).children():
            with suppress(psutil.NoSuchProcess):
                child.kill()
                seen.kills += 1


def _summary(seen: Seen, size: int) -> dict[str, str]:
    fifth = max(1, len(seen.memory_mb) // 5)
    early, late = (
        statistics.median(part)
        for part in (seen.memory_mb[fifth : 2 * fifth] or seen.memory_mb, seen.memory_mb[-fifth:])
    )
    growth = 100 * (late / early - 1)
    return {
        "good uploads [MB]": f"{size / 1e6:.1f}",
        "jobs that ended": ", ".join(f"{count} {state}" for state, count in sorted(seen.ends.items())),
        "lost": str(len(seen.lost)) + "".join(f"; {loss}" for loss in seen.lost[:5]),
        "answers": ", ".join(f"{count} x {code}" for code, count in sorted(seen.statuses.items())),
        "connections that broke": str(dict(seen.broken)),
        "workers killed": str(seen.kills),
        "accepted after [ms], median, 95 %": _spread(seen.accept_ms),
        "health after [ms], median, 95 %": _spread(seen.health_ms),
        "the server's memory [MB], second fifth, last fifth": f"{early:.0f}, {late:.0f} ({growth:+.1f} %)",
    }


def _spread(times: list[float]) -> str:
    return f"{np.median(times):.0f}, {np.quantile(times, 0.95):.0f} (n = {len(times)})" if times else "-"


if __name__ == "__main__":
    main()
