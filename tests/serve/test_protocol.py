"""What is used of uvicorn beyond its documented interface is still there, and limits what a client can do."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from insula.serve.protocol import MOST_HEAD_BYTES, SEEN, timed_protocol

_ROOT = Path(__file__).parents[2]
_REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class _Transport(asyncio.Transport):
    """A connection that remembers what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.aborted, self.closed = b"", False, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def _app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def _connection(seconds: float = 5.0) -> tuple[Any, _Transport]:
    """A new connection; only inside an event loop."""
    config = uvicorn.Config(_app, ws="none", h11_max_incomplete_event_size=MOST_HEAD_BYTES, log_level="critical")
    protocol = timed_protocol(seconds)(config=config, server_state=ServerState(), app_state={})
    transport = _Transport()
    protocol.connection_made(transport)
    return protocol, transport


def test_the_pinned_version_was_seen_to_work() -> None:
    pinned = re.search(r"^uvicorn==([\d.]+)$", (_ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned
    assert pinned[1] in SEEN, f"run tests/serve, then add {pinned[1]} to insula.serve.protocol.SEEN"


def test_each_internal_is_still_there() -> None:
    async def missing() -> list[str]:
        protocol, _ = _connection()
        protocol.data_received(_REQUEST)
        names = "conn cycle loop transport send_400_response shutdown _unset_keepalive_if_required"
        gone = [f"H11Protocol.{name}" for name in names.split() if not hasattr(protocol, name)]
        cycle = "disconnected message_event response_complete"
        return gone + [f"RequestResponseCycle.{name}" for name in cycle.split() if not hasattr(protocol.cycle, name)]

    seen = " and ".join(SEEN)
    assert not (gone := asyncio.run(missing())), (
        f"uvicorn {seen} had {gone}, {uvicorn.__version__} has not: change insula/serve/protocol.py"
    )


def test_no_other_file_uses_internals() -> None:
    source = _ROOT / "src" / "insula"
    internal = re.compile(r"\buvicorn\.(protocols|server|_\w+)\b")
    assert [path.name for path in source.rglob("*.py") if internal.search(path.read_text())] == ["protocol.py"]


def test_a_request_is_answered_and_the_time_limit_ends() -> None:
    async def run() -> _Transport:
        protocol, transport = _connection(seconds=0.05)
        protocol.data_received(_REQUEST)
        await asyncio.sleep(0)
        protocol.connection_lost(None)
        await asyncio.sleep(0.1)
        return transport

    transport = asyncio.run(run())
    assert transport.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert transport.sent.endswith(b"ok")
    assert not transport.aborted


@pytest.mark.parametrize("start", [b"", _REQUEST[:-2]])
def test_who_does_not_finish_the_headers_is_cut_off(start: bytes) -> None:
    async def run() -> tuple[bool, bool]:
        protocol, transport = _connection(seconds=0.05)
        if start:
            protocol.data_received(start)
        before = transport.aborted
        await asyncio.sleep(0.1)
        return before, transport.aborted

    assert asyncio.run(run()) == (False, True)


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"no request\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nx: " + MOST_HEAD_BYTES * b"x", 431)],
    ids=["invalid", "too long"],
)
def test_refusals_have_the_form_of_all_errors(data: bytes, status: int) -> None:
    async def run() -> bytes:
        protocol, transport = _connection()
        protocol.data_received(data)
        return transport.sent

    head, _, body = asyncio.run(run()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert {"what", "rule", "remedy"} <= set(json.loads(body)["error"])


def test_a_client_that_still_sends_can_read_the_answer() -> None:
    async def run() -> tuple[bool, bool]:
        protocol, transport = _connection()
        protocol.data_received(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\nConnection: close\r\n\r\nx")
        await asyncio.sleep(0.01)
        open_after_answer = transport.sent.endswith(b"ok") and not transport.closed and not transport.aborted
        for _ in range(17):
            protocol.data_received(bytes(1 << 20))
        return open_after_answer, transport.aborted

    assert asyncio.run(run()) == (True, True)
