"""Uvicorn's HTTP/1.1 protocol with size and time limits, so that no client can hold a connection for long.

All that insula uses of uvicorn's internals, which may change without notice, is in this file.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Protocol

import h11
from fastapi import HTTPException, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from insula.serve.service import problem

__all__ = ["MOST_HEAD_BYTES", "SEEN", "announces_a_body", "head_bytes", "timed_protocol", "too_long"]

SEEN = ("0.34.0", "0.54.0")
"""Versions of uvicorn that this was seen to work with."""
MOST_HEAD_BYTES = 1 << 15
"""Maximum size of a request's first line and headers together."""
# How long, and how much, a client may still send so that it can read the response before it is cut off
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 16 << 20


def head_bytes(request: Request) -> int:
    """Returns the size of a request's first line and headers."""
    scope = request.scope
    line = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"]) + 12
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def announces_a_body(request: Request) -> bool:
    """Returns whether a request has, or may have, a body."""
    headers = dict(request.headers.raw)
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0 ") != b""


def too_long() -> HTTPException:
    """Returns the error for a request whose first line and headers are too large."""
    rule = f"are larger than {MOST_HEAD_BYTES >> 10} KiB"
    return problem(431, "the request's headers", rule, "send fewer and shorter ones")


class _Lingering(Protocol):
    lingers: bool
    conn: h11.Connection

    def linger(self, transport: asyncio.Transport) -> None: ...


class _Transport:
    """A connection whose closing lets the client read the response even while it is still sending."""

    def __init__(self, transport: asyncio.Transport, protocol: _Lingering) -> None:
        self._transport, self._protocol = transport, protocol

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._protocol.lingers or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        if self._protocol.conn.their_state in (h11.SEND_BODY, h11.ERROR) and self._transport.can_write_eof():
            self._protocol.linger(self._transport)
        else:
            self._transport.close()


def timed_protocol(seconds: float) -> type[H11Protocol]:
    """Returns a protocol that hangs up on clients that are slow to send headers or to read the response.

    If a client is still sending after the response, its data is discarded for a moment, so that it can read the
    response, and then the connection is cut.

    Args:
        seconds: time limit for the complete headers to arrive, and for the client to read a response.
    """

    class Timed(H11Protocol):
        lingers = False
        _late: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _end: asyncio.TimerHandle | None = None
        _discarded_bytes = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(_Transport(transport, self))  # type: ignore[arg-type]
            self._wait()

        def data_received(self, data: bytes) -> None:
            if self.lingers:
                self._discarded_bytes += len(data)
                if self._discarded_bytes > _LINGER_BYTES:
                    self.transport.abort()
                return
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._wait()
            else:
                self._done()

        def send_400_response(self, msg: str) -> None:
            """Send uvicorn's refusals in the form of all error responses, with 431 where the headers are too large."""
            if self.cycle is not None and not self.cycle.response_complete:  # in the middle of a body
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                error = too_long() if getattr(sys.exception(), "error_status_hint", 400) == 431 else _invalid()
                body = json.dumps({"error": error.detail}).encode()
                headers = [
                    ("content-type", "application/json"),
                    ("content-length", str(len(body))),
                    ("connection", "close"),
                ]
                for event in (
                    h11.Response(status_code=error.status_code, headers=headers),
                    h11.Data(data=body),
                    h11.EndOfMessage(),
                ):
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def linger(self, transport: asyncio.Transport) -> None:
            """Signal the end of the response, and discard what the client still sends."""
            self.lingers = True
            self._unset_keepalive_if_required()
            self._done()
            transport.write_eof()
            transport.resume_reading()
            self._end = self.loop.call_later(_LINGER_SECONDS, transport.abort)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._read()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._done()
            self._read()
            if self._end is not None:
                self._end.cancel()
            super().connection_lost(exc)

        def shutdown(self) -> None:
            if self.lingers:
                self.transport.abort()
            else:
                super().shutdown()

        def _wait(self) -> None:
            if self._late is None and not self.lingers:
                self._late = self.loop.call_later(seconds, self.transport.abort)

        def _read(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _done(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Timed


def _invalid() -> HTTPException:
    return problem(400, "the request", "is not valid HTTP/1.1", "check the client")
