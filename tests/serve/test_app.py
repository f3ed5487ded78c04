"""The application in this process: what it answers and logs of an error that it did not expect."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from insula.config import ServeConfig, TokenConfig
from insula.serve import Jobs, JobStore, token_hash
from insula.serve.app import create_app
from insula.serve.service import Service
from insula.serve.study import StudyFolder
from insula.serve.workers import Workers
from report.records import done_record

CASE = "DOE-JANE"
TOKEN = "a token of a test"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service without workers over a study of one case, whose name nothing may repeat."""
    results = tmp_path / "results"
    results.mkdir()
    (results / f"{CASE}.json").write_text(json.dumps(done_record(CASE, mask="0" * 64)))
    store = JobStore(tmp_path / "store")
    store.sweep(set())
    tokens = [TokenConfig(owner="lab", sha256=token_hash(TOKEN))]
    study = StudyFolder(results, views=tmp_path / "views")
    yield Service(store, Jobs(store.database), cast(Workers, None), ServeConfig(), tokens, study=study)
    study.close()


def _get(service: Service, path: str, method: str = "GET", **body: Any) -> httpx.Response:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(service))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as client:
            return await client.request(method, path, **body)

    return asyncio.run(get())


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.EISDIR, errno.ELOOP, errno.EIO, None])
def test_a_systems_error_names_no_file(
    number: int | None, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = OSError(f"no {CASE}") if number is None else OSError(number, os.strerror(number), f"/data/{CASE}.json")

    def fail(_: StudyFolder) -> Any:
        raise error

    monkeypatch.setattr(StudyFolder, "index", fail)
    answer = _get(service, "/study/")
    assert answer.status_code == 500 and "a file of the service" in answer.json()["error"]["message"]
    assert answer.json()["error"]["value"] == ""
    assert CASE not in answer.text + caplog.text
    assert f"{type(error).__name__} at test_app.py" in caplog.text


@pytest.mark.parametrize("path", [f"/study/files/{CASE}.json", f"/study/cases/{CASE}/scan.nii.gz"])
def test_a_file_that_cannot_be_read_is_refused_before_the_response_begins(
    path: str, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert service.study is not None
    file, opened = service.study.path / f"{CASE}.json", Path.open
    monkeypatch.setattr(StudyFolder, "view", lambda *_: file)
    assert _get(service, path).status_code == 200

    def forbidden(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == file:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    service.study.records()
    monkeypatch.setattr(Path, "open", forbidden)
    answer = _get(service, path)
    assert answer.status_code == 507 and "is not allowed" in answer.json()["error"]["message"]
    assert CASE not in answer.text + caplog.text


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (errno.EACCES, 507, "is not allowed (Permission denied)"),
        (errno.EROFS, 507, "cannot be written: the file system is read-only"),
        (errno.ENOSPC, 507, "cannot be written: no space is left on the disk"),
        (errno.EIO, 503, "could not be written (Input/output error)"),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused_in_words_for_a_rater(
    number: int, status: int, words: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: bytes) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("insula.io.folder.write_bytes", fail)
    verdict = {"case": CASE, "rater": "anna", "verdict": "pass", "note": "", "reviewed": "2026-05-01T10:00:00Z"}
    answer = _get(service, "/study/verdicts", "POST", json=[{**verdict, "mask_sha256": "0" * 64}])
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "10")
    assert answer.json()["error"]["message"] == f"the output folder {words}; tell whoever runs the service"
    assert service.study is not None and str(service.study.path) not in answer.text
