"""The real service over real sockets: what it takes, what it refuses, what it says."""

from __future__ import annotations

import gzip
import io
import json
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import psutil
import pytest
from pydicom import dcmread

from insula.config import TokenConfig
from insula.io import read_mask
from insula.serve import token_hash
from insula.serve.parts import PARTS
from io_series import CANARY, write_head
from serve.conftest import service


def _zip_of(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def test_a_scan_becomes_a_job_and_results(running: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    answer = running.post(scan_bytes)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    done = running.wait(job["id"])
    assert (done["state"], done["progress"]) == ("done", 1)
    assert done["seconds"] > 0
    record = running.client.get(f"/v1/jobs/{job['id']}/result/record").json()
    assert record == done["record"]
    (tmp_path / "mask.nii.gz").write_bytes(running.client.get(f"/v1/jobs/{job['id']}/result/mask").content)
    (tmp_path / "prob.nii.gz").write_bytes(running.client.get(f"/v1/jobs/{job['id']}/result/prob").content)
    (tmp_path / "scan.nii.gz").write_bytes(running.client.get(f"/v1/jobs/{job['id']}/result/scan").content)
    mask, prob, scan = (nib.load(tmp_path / f"{name}.nii.gz") for name in ("mask", "prob", "scan"))
    voxel_ml = float(np.abs(np.linalg.det(mask.affine))) / 1000
    assert np.asarray(mask.dataobj).sum() * voxel_ml == pytest.approx(record["volume_ml"], abs=1e-3)
    assert scan.shape == mask.shape == prob.shape
    assert np.allclose(scan.affine, mask.affine)
    packed = zipfile.ZipFile(io.BytesIO(running.client.get(f"/v1/jobs/{job['id']}/result").content))
    assert {name.rpartition("_")[2] for name in packed.namelist()} >= {"mask.nii.gz", "prob.nii.gz"}
    assert "<html" in running.client.get(f"/v1/jobs/{job['id']}/result/page").text
    assert running.client.get(f"/v1/jobs/{job['id']}/result/seg").status_code == 404
    brainless = running.client.get(f"/v1/jobs/{job['id']}/result/brain")
    assert brainless.status_code == 404
    assert "only for models with a brain output" in brainless.json()["error"]["message"]
    assert running.client.get(f"/v1/jobs/{job['id']}/result/nothing").status_code == 404


@pytest.mark.long
def test_a_model_with_a_brain_output_gives_its_mask(brain_weights: Path, scan_bytes: bytes, tmp_path: Path) -> None:
    with service(tmp_path / "service", brain_weights) as running:
        done = running.wait(running.post(scan_bytes).json()["id"])
        assert done["state"] == "done", done
        answer = running.client.get(f"/v1/jobs/{done['id']}/result/brain")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/gzip")
        (tmp_path / "brain.nii.gz").write_bytes(answer.content)
        assert read_mask(tmp_path / "brain.nii.gz").volume_ml == pytest.approx(
            done["record"]["brain"]["volume_ml"], abs=1e-3
        )
        packed = zipfile.ZipFile(io.BytesIO(running.client.get(f"/v1/jobs/{done['id']}/result").content))
        assert done["record"]["files"]["brain"] in packed.namelist()


def test_options_are_heeded(running: Any, scan_bytes: bytes) -> None:
    done = running.wait(running.post(scan_bytes, params={"threshold": 0.123}).json()["id"])
    assert done["record"]["threshold"] == 0.123


@pytest.mark.parametrize(
    "params",
    [
        {"threshold": "0"},
        {"treshold": 0.5},
        {"model": "smart"},
        {"threshold": "x"},
        {"frame": -1},
        {"assume_orientation": "XYZ"},
    ],
)
def test_bad_options_are_named(running: Any, scan_bytes: bytes, params: dict[str, Any]) -> None:
    answer = running.post(scan_bytes, params=params)
    assert answer.status_code == 422
    assert f"the parameter {next(iter(params))}" in answer.json()["error"]["message"]


def test_dicom_comes_back_as_dicom_and_nothing_else_names_the_patient(running: Any, tmp_path: Path) -> None:
    """The objects for the archive must carry the patient; everything that others read must not."""
    write_head(tmp_path / "CANARYFOLDER", **CANARY)
    done = running.wait(running.post(_zip_of(tmp_path)).json()["id"])
    assert done["state"] == "done", done
    parts = {part: running.client.get(f"/v1/jobs/{done['id']}/result/{part}") for part in PARTS}
    assert {part for part, answer in parts.items() if answer.status_code != 200} == {
        "brain",  # this model has none
        "network_mask",  # nobody corrected the mask
    }
    seg = dcmread(io.BytesIO(parts["seg"].content))
    assert (seg.Modality, seg.PatientID) == ("SEG", CANARY["PatientID"])
    texts = [answer.text for answer in parts.values()] + [str(answer.headers) for answer in parts.values()]
    texts += [json.dumps(done), running.client.get("/metrics").text, running.log.read_text()]
    texts += [str(path) for path in running.store.rglob("*")]
    texts += [gzip.decompress(parts[name].content).decode("latin-1") for name in ("scan", "mask", "prob")]
    texts += [
        (running.store / name).read_bytes().decode("latin-1")
        for name in ("jobs.sqlite", "jobs.sqlite-wal")
        if (running.store / name).exists()
    ]
    dicom = {parts[name].text for name in ("seg", "probseg", "sr", "sc", "zip")}
    for value in (*CANARY.values(), "CANARYFOLDER"):
        assert not any(value in text for text in texts if text not in dicom), value


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 400), (b"hello", 415), (b"\x1f\x8bxx", 400), (b"PK\x03\x04xx", 400), (bytes(3_000_000), 413)],
    ids=["empty", "text", "gzip", "zip", "large"],
)
def test_what_is_no_scan_makes_no_job(running: Any, data: bytes, status: int) -> None:
    before = running.client.get("/v1/jobs").json()
    answer = running.post(data)
    assert answer.status_code == status
    assert answer.json()["error"]["remedy"]
    assert running.client.get("/v1/jobs").json() == before
    assert list((running.store / "incoming").iterdir()) == []


def test_the_cap_holds_without_a_content_length(running: Any) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(100_000)

    try:
        answer = running.client.post("/v1/segment", content=endless())
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return  # hung up on: as good
    assert answer.status_code == 413


def test_a_scan_that_is_cut_is_refused_with_the_reason(running: Any, scan_bytes: bytes) -> None:
    done = running.wait(running.post(scan_bytes[: len(scan_bytes) // 2]).json()["id"])
    assert done["state"] == "refused"
    assert done["error"]["remedy"]
    assert running.client.get(f"/v1/jobs/{done['id']}/result").status_code == 409


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}])
def test_without_the_token_nothing_is_told(running: Any, scan_bytes: bytes, header: dict[str, str]) -> None:
    with httpx.Client(base_url=running.client.base_url, headers=header) as stranger:
        for method, path in (
            ("POST", "/v1/segment"),
            ("GET", "/v1/jobs"),
            ("GET", "/v1/jobs/x"),
            ("DELETE", "/v1/jobs/x"),
            ("GET", "/metrics"),
        ):
            answer = stranger.request(method, path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
        assert stranger.get("/health").status_code == 200


def test_a_key_makes_one_job_of_two_uploads(running: Any, scan_bytes: bytes) -> None:
    key = {"Idempotency-Key": "once"}
    first = running.post(scan_bytes, headers=key)
    again = running.post(scan_bytes, headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert running.post(scan_bytes + b"\0", headers=key).status_code == 409
    assert running.post(scan_bytes, headers=key, params={"tta": True}).status_code == 409
    running.wait(first.json()["id"])


def test_a_deleted_job_is_gone_with_its_files(running: Any, scan_bytes: bytes) -> None:
    id = running.post(scan_bytes).json()["id"]
    running.wait(id)
    assert running.client.delete(f"/v1/jobs/{id}").status_code == 204
    assert running.client.get(f"/v1/jobs/{id}").status_code == 404
    assert running.client.delete(f"/v1/jobs/{id}").status_code == 404
    assert not (running.store / "jobs" / id).exists()


def test_a_slow_head_and_a_slow_body_are_cut(running: Any) -> None:
    host, port = running.client.base_url.host, running.client.base_url.port
    for sent in (b"", b"POST /v1/segment HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection((host, port), timeout=10) as slow:
            slow.sendall(sent)
            begun = time.monotonic()
            assert slow.recv(100) == b""
            assert time.monotonic() - begun < 8
    token = running.client.headers["authorization"].encode()
    with socket.create_connection((host, port), timeout=10) as slow:
        slow.sendall(
            b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: " + token + b"\r\n\r\n\0\0"
        )
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_who_does_not_read_is_hung_up_on(running: Any) -> None:
    host, port = running.client.base_url.host, running.client.base_url.port
    size, count = len(running.client.get("/page/page.js").content), 40
    with socket.create_connection((host, port), timeout=10) as lazy:
        lazy.sendall(b"GET /page/page.js HTTP/1.1\r\nHost: x\r\n\r\n" * count)
        time.sleep(4)
        got = 0
        try:
            while piece := lazy.recv(1 << 20):
                got += len(piece)
        except (ConnectionResetError, TimeoutError):
            pass
    assert got < size * count


def test_addresses_and_methods_that_do_not_exist_are_told_in_the_same_form(running: Any) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/segment", 405),
        ("GET", "/page/nothing.js", 404),
    ):
        answer = running.client.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["remedy"]
        assert "content-security-policy" in answer.headers


def test_methods_that_a_client_makes_up_are_not_kept(running: Any) -> None:
    for n in range(5):
        running.client.request(f"MADEUP{n}", "/health")
    metrics = running.client.get("/metrics").text
    assert "MADEUP" not in metrics
    assert 'method="other"' in metrics


def test_what_is_stored_is_for_this_user_only(running: Any, scan_bytes: bytes) -> None:
    running.wait(running.post(scan_bytes).json()["id"])
    assert not [path for path in running.store.rglob("*") if path.stat().st_mode & 0o077]


def test_a_full_queue_says_when_to_come_back(running: Any, scan_bytes: bytes) -> None:
    (worker,) = map(psutil.Process, running.workers())
    worker.suspend()
    try:
        answers = [running.post(scan_bytes) for _ in range(7)]
    finally:
        worker.resume()
    full = [answer for answer in answers if answer.status_code == 503]
    assert len(full) in (2, 3), "of seven, one may be with the worker, and four wait"
    assert all(
        int(answer.headers["retry-after"]) > 0 and "full" in answer.json()["error"]["message"] for answer in full
    )
    for answer in answers:
        if answer.status_code == 202:
            assert running.wait(answer.json()["id"])["state"] == "done"


def test_other_sites_may_not_call_it(running: Any) -> None:
    answer = running.client.get("/health", headers={"Origin": "http://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_describes_itself_and_counts(running: Any) -> None:
    paths = running.client.get("/v1/openapi.json").json()["paths"]
    assert {"/v1/segment", "/v1/jobs/{id}", "/v1/jobs/{id}/result/{part}", "/health", "/metrics"} <= set(paths)
    assert running.client.post("/v1/segment", content=b"neither").status_code == 415
    metrics = running.client.get("/metrics").text
    assert "insula_workers_ready 1.0" in metrics
    assert 'route="/v1/segment",status="415"' in metrics


def test_a_sender_that_hangs_up_leaves_nothing(start: Any, tmp_path: Path) -> None:
    with start(tmp_path, "body_seconds=600", wait=False) as running:
        host, port = running.client.base_url.host, running.client.base_url.port
        incoming = running.store / "incoming"
        token = running.client.headers["authorization"].encode()
        with socket.create_connection((host, port), timeout=10) as sender:
            sender.sendall(
                b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: "
                + token
                + b"\r\n\r\n\0\0"
            )
            _until(lambda: len(list(incoming.iterdir())) == 1)
        _until(lambda: not list(incoming.iterdir()))
        assert running.client.get("/v1/jobs").json() == []


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_owners_do_not_see_each_others_jobs(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    tokens = [TokenConfig(owner=name, sha256=token_hash(name)) for name in ("one", "two")]
    settings = ", ".join(f'{{owner="{token.owner}", sha256="{token.sha256}"}}' for token in tokens)
    with start(tmp_path, f"tokens=[{settings}]", 'origins=["http://page.example"]', wait=False) as running:
        own, other = ({"Authorization": f"Bearer {name}"} for name in ("one", "two"))
        id = running.post(scan_bytes, headers=own).json()["id"]
        assert running.client.get(f"/v1/jobs/{id}", headers=own).status_code == 200
        assert running.client.get(f"/v1/jobs/{id}", headers=other).status_code == 404
        assert running.client.delete(f"/v1/jobs/{id}", headers=other).status_code == 404
        assert running.client.get("/v1/jobs", headers=other).json() == []
        assert running.client.get("/v1/jobs").status_code == 401, (
            "the token of the environment does not count beside these"
        )
        answer = running.client.get("/health", headers={"Origin": "http://page.example"})
        assert answer.headers["access-control-allow-origin"] == "http://page.example"
