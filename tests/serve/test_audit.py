"""Who did what stands in the log and in the audit file, and no patient does."""

from __future__ import annotations

import io
import json
import os
import stat
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from insula.errors import InsulaError
from insula.serve import Jobs
from insula.serve.audit import Audit, watched_ends
from io_series import CANARY, write_head


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_for_each_event_on_the_disk_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    write, sync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda *a: (calls.append("write"), write(*a))[1])
    monkeypatch.setattr(os, "fsync", lambda *a: (calls.append("fsync"), sync(*a))[1])
    audit = Audit(tmp_path / "audit.jsonl")
    calls.clear()
    audit.write("job", who="ward-3", outcome="done", job="ab", ms=12.6)
    assert calls == ["write", "fsync"]
    (line,) = _lines(tmp_path / "audit.jsonl")
    assert line.pop("time").startswith("20")
    assert line == {"event": "job", "who": "ward-3", "outcome": "done", "job": "ab", "ms": 13}
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_it_is_only_added_to_and_may_be_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"event": "an older one"}\n{"event": "cut')  # by a kill
    audit = Audit(path)
    audit.write("job", who="a", outcome="done")
    first, cut, last = path.read_text().splitlines()
    assert (json.loads(first)["event"], cut, json.loads(last)["who"]) == ("an older one", '{"event": "cut', "a")
    path.rename(tmp_path / "audit.1")
    audit.write("job", who="b", outcome="done")
    assert [line["who"] for line in _lines(path)] == ["b"]


def test_what_is_odd_in_a_name_makes_no_second_line(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "a")
    audit.write("job", who='x\n{"event": "forged"}\x1b[2J', outcome="done")
    (line,) = _lines(tmp_path / "a")
    assert line["who"] == "x?{?event?: ?forged?}??2J"


def test_a_file_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InsulaError, match="audit file .*nowhere"):
        Audit(tmp_path / "nowhere" / "audit")


def test_a_full_disk_ends_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    audit = Audit(tmp_path / "a")
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    audit.write("job", who="a", outcome="done")
    assert "no space is left" in caplog.text


def test_the_end_of_every_job_is_said_once_also_after_a_restart(tmp_path: Path) -> None:
    jobs, path = Jobs(tmp_path / "jobs.sqlite"), tmp_path / "audit"

    def run(id: str) -> None:
        jobs.add(owner="ward", key=None, upload=(id, "0" * 64, 1), options={}, keep_seconds=100)
        job = jobs.take("w")
        assert job is not None
        jobs.end(job, "refused")

    with watched_ends(jobs, Audit(path)):
        run("a")
        end = time.monotonic() + 10
        while not _lines(path) and time.monotonic() < end:
            time.sleep(0.05)
        run("b")  # found by the last look
    run("c")  # as the service was killed
    with watched_ends(jobs, Audit(path)):
        pass
    with watched_ends(jobs, Audit(path)):
        pass
    assert [(line["job"], line["who"], line["outcome"]) for line in _lines(path)] == [
        (id, "ward", "refused") for id in "abc"
    ]


def test_the_service_says_who_did_what(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with start(tmp_path / "service", f"audit={audit}") as running:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as target:
            for file in write_head(tmp_path / "series", **CANARY).iterdir():
                target.write(file, f"CANARY/{file.name}")
        id = running.post(packed.getvalue()).json()["id"]
        assert running.wait(id)["state"] == "done"
        running.client.get(f"/v1/jobs/{id}/result/mask")
        running.post(b"no scan CANARY")
        running.client.get("/v1/jobs")
        running.client.get("/health")
        running.client.get("/v1/jobs", headers={"Authorization": "Bearer CANARYTOKEN"})
        running.client.get("/CANARY", headers={"Authorization": ""})
        running.client.delete(f"/v1/jobs/{id}")
        time.sleep(1)
        log = running.log.read_text()
    lines = _lines(audit)
    events = [(line["event"], line["who"], line["outcome"], line.get("job")) for line in lines]
    assert events[0] == ("POST /v1/segment", "local", "202", id)
    assert ("job", "local", "done", id) in events
    assert ("GET /v1/jobs/{id}/result/{part}", "local", "200", id) in events
    assert ("POST /v1/segment", "local", "415", None) in events
    assert ("GET /v1/jobs", "nobody", "401", None) in events
    assert events[-1] == ("DELETE /v1/jobs/{id}", "local", "204", id)
    assert not [line for line in events if line[0] in ("GET /health", "other") or line[:2] == ("GET /v1/jobs", "local")]
    assert all(line["ms"] >= 0 for line in lines)
    assert f"job={id} outcome=done" in log
    assert "CANARY" not in log + audit.read_text()


def test_too_many_wrong_tokens_have_to_wait(start: Any, tmp_path: Path) -> None:
    with start(tmp_path / "service", "failed_tokens=3", wait=False) as running:
        running.client.get("/v1/jobs", headers={"X-Forwarded-For": "192.0.2.8"})
        wrong = [running.client.get("/v1/jobs", headers={"Authorization": f"Bearer guess-{n}"}) for n in range(5)]
        right = running.client.get("/v1/jobs")
        elsewhere = running.client.get("/v1/jobs", headers={"X-Forwarded-For": "192.0.2.7"})  # a proxy on this machine
        for n in range(4):
            running.client.get(
                "/v1/jobs", headers={"Authorization": f"Bearer guess-{n}", "X-Forwarded-For": "192.0.2.8"}
            )
        known_still = running.client.get("/v1/jobs", headers={"X-Forwarded-For": "192.0.2.8"})
        assert running.client.get("/health").status_code == 200
    assert [answer.status_code for answer in wrong] == [401, 401, 401, 429, 429]
    assert 1 <= int(wrong[3].headers["Retry-After"]) <= 60
    assert "guess" not in wrong[3].text
    assert right.status_code == 429, "or guessing could go on"
    assert elsewhere.status_code == 200
    assert known_still.status_code == 200
