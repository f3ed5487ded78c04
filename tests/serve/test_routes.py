"""Thumbnails, and deletions that can be undone, over HTTP."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from insula.config import TokenConfig
from insula.serve import token_hash
from insula.serve.routes import MOST_UNDO_SECONDS


def test_a_finished_job_has_a_thumbnail(running: Any, scan_bytes: bytes) -> None:
    id = running.post(scan_bytes).json()["id"]
    assert running.client.get(f"/v1/jobs/{id}/thumbnail").status_code in (200, 409)
    running.wait(id)
    answer = running.client.get(f"/v1/jobs/{id}/thumbnail")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cache-control"] == "no-store"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert max(image.size) == 96
    assert running.client.get(f"/v1/jobs/{id}/thumbnail", headers={"Authorization": ""}).status_code == 401
    (page,) = (running.store / "jobs" / id / "results").glob("*.html")
    page.write_text("<html></html>")
    assert running.client.get(f"/v1/jobs/{id}/thumbnail").status_code == 404
    assert running.client.get(f"/v1/jobs/{'0' * 32}/thumbnail").status_code == 404


def test_an_unfinished_job_has_no_thumbnail(running: Any, scan_bytes: bytes) -> None:
    ids = [running.post(scan_bytes[:5000]).json()["id"], running.post(scan_bytes).json()["id"]]
    assert running.wait(ids[0])["state"] == "refused"
    answer = running.client.get(f"/v1/jobs/{ids[0]}/thumbnail")
    assert answer.status_code == 409
    assert "refused" in answer.json()["error"]["message"]


def test_a_deletion_can_be_undone(running: Any, scan_bytes: bytes) -> None:
    id = running.post(scan_bytes).json()["id"]
    done = running.wait(id)
    assert running.client.delete(f"/v1/jobs/{id}", params={"undo_seconds": 30}).status_code == 204
    for path in ("", "/result", "/result/mask", "/thumbnail"):
        assert running.client.get(f"/v1/jobs/{id}{path}").status_code == 404
    assert id not in [job["id"] for job in running.client.get("/v1/jobs").json()]
    restored = running.client.post(f"/v1/jobs/{id}/restore")
    assert (restored.status_code, restored.json()["state"]) == (200, "done")
    assert running.client.get(f"/v1/jobs/{id}").json() == done
    running.client.delete(f"/v1/jobs/{id}", params={"undo_seconds": 30})
    running.client.post(f"/v1/jobs/{id}/restore")
    assert running.client.delete(f"/v1/jobs/{id}").status_code == 204
    assert running.client.post(f"/v1/jobs/{id}/restore").status_code == 404
    assert not (running.store / "jobs" / id).exists()


@pytest.mark.parametrize("seconds", [-1, MOST_UNDO_SECONDS + 1, "soon"])
def test_the_time_to_undo_is_limited(running: Any, scan_bytes: bytes, seconds: Any) -> None:
    id = running.post(scan_bytes).json()["id"]
    assert running.client.delete(f"/v1/jobs/{id}", params={"undo_seconds": seconds}).status_code == 422
    assert running.wait(id)["id"] == id


def test_a_discarded_job_is_deleted_in_the_end_also_after_a_restart(
    start: Any, scan_bytes: bytes, tmp_path: Path
) -> None:
    with start(tmp_path / "service") as running:
        id = running.post(scan_bytes).json()["id"]
        running.wait(id)
        running.client.delete(f"/v1/jobs/{id}", params={"undo_seconds": 0.5})
        assert (running.store / "jobs" / id).exists()
        time.sleep(0.6)
    with start(tmp_path / "service") as running:  # sweeps as it starts
        end = time.monotonic() + 10
        while (running.store / "jobs" / id).exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        assert running.client.post(f"/v1/jobs/{id}/restore").status_code == 404


def test_only_its_owner_restores_a_job_and_the_audit_has_it(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    tokens = [TokenConfig(owner=name, sha256=token_hash(f"token-of-{name}")) for name in ("one", "two")]
    entries = ", ".join(f'{{owner="{token.owner}", sha256="{token.sha256}"}}' for token in tokens)
    audit = tmp_path / "audit.jsonl"
    one, two = ({"Authorization": f"Bearer token-of-{token.owner}"} for token in tokens)
    with start(tmp_path / "service", f"tokens=[{entries}]", f'audit="{audit}"') as running:
        id = running.post(scan_bytes, headers=one).json()["id"]
        running.client.delete(f"/v1/jobs/{id}", params={"undo_seconds": 30}, headers=one)
        assert running.client.post(f"/v1/jobs/{id}/restore", headers=two).status_code == 404
        assert running.client.post(f"/v1/jobs/{id}/restore", headers=one).status_code == 200
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["event"], line["who"], line["outcome"]) for line in lines if line["event"] != "job"] == [
        ("POST /v1/segment", "one", "202"),
        ("DELETE /v1/jobs/{id}", "one", "204"),
        ("POST /v1/jobs/{id}/restore", "two", "404"),
        ("POST /v1/jobs/{id}/restore", "one", "200"),
    ]
