"""The short form of studies/load.py; the long one is `make soak`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_a_few_seconds_of_load_lose_nothing(quiet_weights: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "studies.load",
        "--clients",
        "6",
        "--minutes",
        "0.2",
        "--spacing",
        "4",
        "--kill-seconds",
        "5",
    ]
    done = subprocess.run(
        [*command, "--weights", str(quiet_weights), "--out", str(tmp_path / "load.json")],
        capture_output=True,
        text=True,
        cwd=_ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "load.json").read_text())
    assert summary["lost"] == "0"
    assert " done" in summary["jobs that ended"]
    assert summary["connections that broke"] == "{}"
