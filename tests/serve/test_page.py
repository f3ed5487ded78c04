"""The page: its built files are those of its sources, and in a browser its numbers are those of the record."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import insula

_WEB = Path(__file__).parents[2] / "web"
_PAGE = Path(insula.__file__).parent / "serve" / "page"
_CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def test_the_built_page_is_of_these_sources() -> None:
    """If not: make page."""
    files = [
        *(path for path in (_WEB / "src").rglob("*") if path.is_file()),
        _WEB / "package-lock.json",
        _WEB / "build.mjs",
    ]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(_WEB).as_posix(), path) for path in files):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    assert json.loads((_PAGE / "build.json").read_text())["sources_sha256"] == digest.hexdigest()


def test_the_page_is_served_under_a_policy_that_forbids_other_sites(running: Any) -> None:
    page = running.client.get("/", headers={"Authorization": ""})
    assert page.status_code == 200
    assert "not a medical device" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    wanted = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    assert len(wanted) >= 2
    for path in wanted:
        assert running.client.get(f"/{path}").status_code == 200
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)


@pytest.mark.skipif(_CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(not (_WEB / "node_modules" / "puppeteer-core").is_dir(), reason="run `make page` first")
def test_a_browser_shows_what_the_record_says(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(scan_bytes)
    with start(tmp_path / "service", "most_mb=64") as running:
        token = running.client.headers["authorization"].removeprefix("Bearer ")
        command = [
            "node",
            str(_WEB / "test" / "page.mjs"),
            str(running.client.base_url),
            token,
            str(tmp_path / "scan.nii.gz"),
            str(tmp_path),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "CHROMIUM": str(_CHROMIUM)}, timeout=240
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["ok"] is True
