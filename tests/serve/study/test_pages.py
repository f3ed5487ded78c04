"""Pages of a served study: only their own script runs; in a browser, two raters review at once and nothing is lost."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from insula.report import render_index
from insula.serve.study.pages import entrance, page_response
from insula.study import read_reviews
from report.records import done_record

_WEB = Path(__file__).parents[3] / "web"
_CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.parametrize("page", ["entrance", "board"])
def test_the_policy_names_the_hash_of_the_pages_own_script(page: str) -> None:
    html = render_index([done_record("</script><script>a")], served=True) if page == "board" else ""
    answer = page_response(html) if html else entrance()
    text = bytes(answer.body).decode()
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert script.lstrip().startswith('"use strict"')
    assert f"script-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "unsafe-inline'; script" not in answer.headers["content-security-policy"].replace("style-src", "")


def test_the_entrance_shows_nothing_of_the_study_and_fetches_nothing_from_elsewhere() -> None:
    text = bytes(entrance().body).decode()
    assert not re.search(r"https?://|@import", text)
    assert "not a medical device" in text


@pytest.mark.skipif(_CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(not (_WEB / "node_modules" / "puppeteer-core").is_dir(), reason="run `make page` first")
@pytest.mark.long
def test_two_raters_review_in_browsers_at_once(served: Any, tmp_path: Path) -> None:
    token = served.client.headers["authorization"].removeprefix("Bearer ")
    address = str(served.client.base_url).rstrip("/")
    done = subprocess.run(
        ["node", str(_WEB / "test" / "board.mjs"), address, token, os.environ.get("PICTURES", str(tmp_path))],
        capture_output=True,
        text=True,
        env={**os.environ, "CHROMIUM": str(_CHROMIUM)},
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["ok"] is True
    table = {(review.case, review.rater): review.verdict for review in read_reviews(served.results / "review.tsv")}
    assert sorted(table.values()) == ["fail", "pass", "pass"]
    assert {rater for _, rater in table} == {"anna", "ben"}
