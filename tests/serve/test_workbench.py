"""The list of jobs on the page: several scans at once, deletion that can be undone, light and dark."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_WEB = Path(__file__).parents[2] / "web"
_CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(not (_WEB / "node_modules" / "fflate").is_dir(), reason="run `make page` first")
def test_files_become_scans_and_rows() -> None:
    done = subprocess.run(
        ["node", "--test", *(f"test/{name}.test.mjs" for name in ("deletions", "jobs", "page", "run", "scan"))],
        cwd=_WEB,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(_CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(not (_WEB / "node_modules" / "puppeteer-core").is_dir(), reason="run `make page` first")
def test_several_scans_are_sent_listed_deleted_and_restored(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(scan_bytes)
    with start(tmp_path / "service", "most_mb=64", f'audit="{tmp_path / "audit.jsonl"}"') as running:
        token = running.client.headers["authorization"].removeprefix("Bearer ")
        files = [str(tmp_path / name) for name in ("scan.nii.gz", "out")]
        done = subprocess.run(
            ["node", str(_WEB / "test" / "workbench.mjs"), str(running.client.base_url), token, *files],
            capture_output=True,
            text=True,
            env={**os.environ, "CHROMIUM": str(_CHROMIUM)},
            timeout=240,
        )
        log = running.log.read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["ok"] is True
    assert "Jane" not in log + (tmp_path / "audit.jsonl").read_text()
