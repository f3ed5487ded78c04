"""HTTP/1.1 as uvicorn speaks it, but nobody holds a connection: heads are short and come in time, answers are read in time, what is not wanted is not read."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from insula.serve.service import problem

__all__ = ["MOST_HEAD_BYTES", "announces_a_body", "head_bytes", "timed_protocol", "too_long"]

MOST_HEAD_BYTES = 1 << 15
"""Of a request's first line and headers together."""
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 16 << 20  # in which a sender may finish and see the answer, before it is cut off


def head_bytes(scope: Any) -> int:
    """The size of a request's first line and headers."""
    line = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"]) + 12
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def announces_a_body(scope: Any) -> bool:
    """Whether more than a head comes, or may come."""
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0 ") != b""


def too_long() -> Any:
    """The answer to a head that is."""
    rule = f"are larger than {MOST_HEAD_BYTES >> 10} KiB"
    return problem(431, "the request's headers", rule, "send fewer and shorter ones")


class _Transport:
    """A connection that is closed in a way that lets the other side read the answer, though it is still sending."""

    def __init__(self, transport: Any, protocol: Any) -> None:
        self._transport, self._protocol = transport, protocol

    def __getattr__(self, name: str) -> Any:
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
    """A protocol that hangs up when no whole head has come in time, or an answer is not read for as long.

    What is still being sent once it was answered is thrown away for a moment, so that the answer can be read, and then cut off.

    Args:
        seconds: for a head to come, and for an answer to be read.
    """

    class Timed(H11Protocol):
        lingers = False
        _late: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _end: asyncio.TimerHandle | None = None
        _thrown_away = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(_Transport(transport, self))  # type: ignore[arg-type]
            self._wait()

        def data_received(self, data: bytes) -> None:
            if self.lingers:
                self._thrown_away += len(data)
                if self._thrown_away > _LINGER_BYTES:
                    self.transport.abort()
                return
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._wait()
            else:
                self._done()

        def send_400_response(self, msg: str) -> None:
            """Refuse what uvicorn refuses, in the form of every refusal, and with 431 where that is meant."""
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

        def linger(self, transport: Any) -> None:
            """Say that nothing more comes, and throw away what does."""
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


def _invalid() -> Any:
    return problem(400, "the request", "is no HTTP/1.1", "check what sends it")
