"""Habits of HTTP clients, good and bad, against the real service over real sockets."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def connect(running: Any) -> Callable[[], socket.socket]:
    url = running.client.base_url
    return lambda: socket.create_connection((url.host, url.port), timeout=15)


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status, and everything that comes until the other side closes."""
    got = b""
    while piece := connection.recv(1 << 16):
        got += piece
    return int(got.split(b" ", 2)[1]), got


def test_head_is_answered_wherever_get_is(running: Any, scan_bytes: bytes) -> None:
    id = running.post(scan_bytes).json()["id"]
    running.wait(id)
    paths = [
        "/",
        "/page/page.js",
        "/health",
        "/metrics",
        "/v1/openapi.json",
        "/v1/jobs",
        f"/v1/jobs/{id}",
        f"/v1/jobs/{id}/result",
    ]
    paths += [f"/v1/jobs/{id}/result/{part}" for part in ("scan", "mask", "prob", "record", "page", "zip")]
    for path in (*paths, f"/v1/jobs/{id}/result/seg", "/v1/jobs/none", "/nowhere"):
        get, head = (running.client.request(method, path) for method in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["content-type"] == get.headers["content-type"]
        if path != "/metrics":
            assert head.headers["content-length"] == str(len(get.content)), path
    assert running.client.head("/v1/segment").status_code == 405
    assert running.client.head("/v1/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 401
    described = running.client.get("/v1/openapi.json").json()["paths"]
    assert not any("head" in methods for methods in described.values())


def test_a_form_with_a_file_is_an_upload(running: Any, scan_bytes: bytes) -> None:
    def post(**options: Any) -> Any:
        return running.client.post("/v1/segment", params={"threshold": 0.3}, **options)

    answer = post(files={"scan": ("sub-01_T1w.nii.gz", scan_bytes, "application/gzip")})
    assert answer.status_code == 202
    assert running.wait(answer.json()["id"])["record"]["threshold"] == 0.3
    assert (running.store / "jobs" / answer.json()["id"] / "upload.nii.gz").read_bytes() == scan_bytes
    assert post(files={"scan": ("a", b"", "text/plain")}).status_code == 400
    assert post(files={"scan": ("a", b"hello", "text/plain")}).status_code == 415
    assert post(files={"scan": ("a", bytes(3_000_000), "text/plain")}).status_code == 413
    two = post(files={"scan": ("a", scan_bytes)}, data={"threshold": "0.2"})
    assert (two.status_code, "options in the address" in two.json()["error"]["message"]) == (422, True)
    assert post(content=scan_bytes, headers={"Content-Type": "multipart/form-data"}).status_code == 400
    assert list((running.store / "incoming").iterdir()) == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("how", [["-F", "scan=@{}"], ["--data-binary", "@{}"], ["-T", "{}", "-X", "POST"]])
def test_curl_sends_it_in_its_own_ways(how: list[str], running: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(scan_bytes)
    token = running.client.headers["authorization"]
    command = [
        "curl",
        "-s",
        "--expect100-timeout",
        "60",
        "-H",
        f"Authorization: {token}",
        "-H",
        "Expect: 100-continue",
        f"{running.client.base_url}/v1/segment",
    ]
    begun = time.monotonic()
    done = subprocess.run([*command, *(argument.format(path) for argument in how)], capture_output=True, check=True)
    assert json.loads(done.stdout)["state"] == "queued"
    assert time.monotonic() - begun < 50, "it waits for what it expects, and then sends all the same"


def test_who_expects_to_go_on_is_told_to_or_is_refused(running: Any, connect: Any, scan_bytes: bytes) -> None:
    token = running.client.headers["authorization"].encode()
    for authorization, wanted in ((token, b"HTTP/1.1 100"), (b"Bearer wrong", b"HTTP/1.1 401")):
        with connect() as sender:
            head = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n" % len(
                scan_bytes
            )
            sender.sendall(head + b"Authorization: " + authorization + b"\r\n\r\n")
            answer = sender.recv(1 << 16)
            assert answer.startswith(wanted)
            if authorization == token:
                sender.sendall(scan_bytes)
                assert sender.recv(1 << 16).startswith(b"HTTP/1.1 202")
            else:
                assert b"connection: close" in answer.lower()
                assert _closed(sender)


@pytest.mark.parametrize("kib", [33, 64, 100, 10_000])
@pytest.mark.parametrize("where", ["headers", "one header", "address"])
def test_a_head_that_is_too_long_is_told_so(kib: int, where: str, connect: Any) -> None:
    long = {
        "headers": b"GET /health HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(kib))
        + b"\r\n",
        "one header": b"GET /health HTTP/1.1\r\nHost: x\r\nx: " + b"y" * (kib << 10) + b"\r\n\r\n",
        "address": b"GET /health?" + b"y" * (kib << 10) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    }[where]
    with connect() as sender:
        sender.sendall(long)
        sender.shutdown(socket.SHUT_WR)
        status, answer = _answer(sender)
    assert status == 431
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["remedy"]
    with connect() as sender:
        sender.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx: " + b"y" * 30_000 + b"\r\n\r\n")
        assert _answer(sender)[0] == 200


def test_what_is_no_http_is_told_so(connect: Any) -> None:
    with connect() as sender:
        sender.sendall(b"hello\r\n\r\n")
        status, answer = _answer(sender)
    assert status == 400
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["remedy"]


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/v1/segment", 401), ("GET", "/health", 200), ("POST", "/v1/none", 404)]
)
def test_what_nobody_wants_is_not_read_to_its_end(
    method: str, path: str, status: int, close: bytes, connect: Any
) -> None:
    piece, sent = bytes(1 << 20), 0
    with connect() as sender:
        sender.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 30}\r\n".encode() + close + b"\r\n"
        )
        heard: list[bytes] = []
        reader = threading.Thread(target=lambda: heard.append(sender.recv(1 << 16)))
        reader.start()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 1 << 30:
                sender.sendall(piece)
                sent += len(piece)
        reader.join()
    assert sent < 100 << 20
    assert heard[0].startswith(f"HTTP/1.1 {status}".encode())
    assert b"connection: close" in heard[0].lower()


def test_one_byte_every_now_and_then_holds_no_place(running: Any, connect: Any, scan_bytes: bytes) -> None:
    token = running.client.headers["authorization"].encode()
    senders = [connect() for _ in range(6)]  # more than may wait
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.4):
            for sender in senders:
                with contextlib.suppress(OSError):
                    sender.send(b"x")

    try:
        for sender in senders:
            sender.sendall(
                b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: " + token + b"\r\n\r\n"
            )
        begun = time.monotonic()
        thread = threading.Thread(target=drip)
        thread.start()
        assert running.wait(running.post(scan_bytes).json()["id"])["state"] == "done"
        for sender in senders:
            assert sender.recv(1 << 16).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - begun < 15
    finally:
        stop.set()
        thread.join()
        for sender in senders:
            sender.close()


def test_uploads_at_the_same_time_are_counted(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    with start(tmp_path, "most_uploads=2", wait=False) as running:
        token = running.client.headers["authorization"].encode()
        url = running.client.base_url
        senders = [socket.create_connection((url.host, url.port), timeout=15) for _ in range(2)]
        for sender in senders:
            sender.sendall(
                b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: "
                + token
                + b"\r\n\r\nx"
            )
        while len(list((running.store / "incoming").iterdir())) < 2:
            time.sleep(0.02)
        answer = running.post(scan_bytes)
        assert (answer.status_code, "is at its limit (2)" in answer.text) == (503, True)
        assert int(answer.headers["retry-after"]) > 0
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)  # nor do they keep it from stopping
        assert running.process.wait(20) == 0
        assert time.monotonic() - begun < 10
        assert list((running.store / "incoming").iterdir()) == []
        for sender in senders:
            sender.close()


def _closed(connection: socket.socket) -> bool:
    try:
        while connection.recv(1 << 16):
            pass
        return True
    except ConnectionResetError:
        return True
