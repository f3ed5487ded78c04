"""Limits on the connections to the node: their number, their duration, and how much data they carry."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from socketserver import BaseServer
from typing import TYPE_CHECKING, Any

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

if TYPE_CHECKING:
    from pynetdicom.association import Association

__all__ = ["GuardedServer", "ConnectionLimits"]

_log = logging.getLogger(__name__)
_HEAD_BYTES = 6
_REQUEST, _DATA, _LAST_TYPE = 0x01, 0x04, 0x07
_MOST_REQUEST_BYTES = 1 << 20
"""Maximum size of an A-ASSOCIATE-RQ; one with 128 contexts of 40 transfer syntaxes each takes 170 kB."""
_MOST_DATA_BYTES = 1 << 17
"""Maximum size of a later PDU; the node announces 16 KiB to every caller."""
_MOST_WAITING = 2
"""Number of objects that may wait for their answer; no more are read from the network until then."""
_PIECE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Limits on what callers may use."""

    connections: int
    """Maximum number of connections at once, from all callers."""
    per_caller: int
    """Maximum number of connections at once, from one network address."""
    silent_seconds: float
    """Time in which a new connection must request an association."""
    pdu_seconds: float
    """Time in which a PDU must be complete once it has started."""
    object_bytes: int
    """Maximum size of an object."""
    association_bytes: int
    """Maximum total size of what one association sends."""


class _Breach(OSError):
    """A caller exceeded a limit."""


@dataclass(eq=False)
class _Connection:
    address: str
    socket: socket.socket
    begun: float = field(default_factory=time.monotonic)
    association: Association | None = None
    ended: bool = False

    @property
    def open(self) -> bool:
        """Whether the connection still has a thread."""
        if self.association is None:
            return not self.ended
        if self.association.ident is None:  # its thread is about to start
            return True
        return self.association.is_alive() or self.association.dul.is_alive()

    def cut(self) -> None:
        """Hang up; a thread that is reading from it notices at once."""
        with contextlib.suppress(OSError, ValueError):
            self.socket.shutdown(socket.SHUT_RDWR)


class GuardedServer(ThreadedAssociationServer):
    """An association server whose threads and memory are bounded.

    A connection becomes an association, with its threads and tables, only after a complete association request has
    arrived in time. When an address has reached its number of connections, a new connection replaces the oldest one
    that has not sent its request; if all have, the new connection is rejected.

    Args:
        limits: limits on connections and data.
        cut: called with the reason for every connection that is rejected or cut off.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *args: Any, limits: ConnectionLimits, cut: Callable[[str], None], **kwargs: Any) -> None:
        self.limits, self.cut = limits, cut
        self._connections: dict[socket.socket, _Connection] = {}
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; the TLS handshake comes later, so that a silent caller does not block others."""
        assert self.socket is not None
        return self.socket.accept()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Make room for a new connection, or reject it."""
        with self._lock:
            self._connections = {key: connection for key, connection in self._connections.items() if connection.open}
            connections = list(self._connections.values())
            same_address = [connection for connection in connections if connection.address == client_address[0]]
            if not (
                self._make_room(same_address, self.limits.per_caller)
                and self._make_room(connections, self.limits.connections)
            ):
                self.cut("too many connections")
                return False
            self._connections[request] = _Connection(client_address[0], request)
        return True

    def _make_room(self, connections: list[_Connection], most: int) -> bool:
        alive = [connection for connection in connections if connection.open]
        if len(alive) < most:
            return True
        silent = [connection for connection in alive if connection.association is None]
        if not silent:
            return False
        oldest = min(silent, key=lambda connection: connection.begun)
        oldest.ended = True
        oldest.cut()
        self.cut("silent, replaced by another caller")
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Wait for the association request, then let pynetdicom answer it."""
        connection = self._connections[request]
        try:
            end = time.monotonic() + self.limits.silent_seconds
            if self.ssl_context is not None:
                request.settimeout(self.limits.silent_seconds)
                connection.socket = self.ssl_context.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
                connection.socket.do_handshake()
            first = _association_request(connection.socket, end)
            _Handler(connection, client_address, self, first)
        except Exception as error:  # from TLS, the network or pynetdicom: the connection is of no more use
            if not connection.ended:
                self.cut("silent" if isinstance(error, TimeoutError) else "no association request")
            connection.ended = True
            self.shutdown_request(connection.socket)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log the type of an error without its text, which may quote what was sent."""
        kind = sys.exc_info()[0]
        _log.warning("a connection failed: %s", kind.__name__ if kind else "?")

    def stop(self) -> None:
        """Stop listening, and hang up on all callers."""
        BaseServer.shutdown(self)
        self.server_close()
        for connection in list(self._connections.values()):
            connection.cut()


class _Handler(RequestHandler):
    """Creates the association of a connection whose first PDU has arrived."""

    def __init__(self, connection: _Connection, address: Any, server: GuardedServer, first: bytes) -> None:
        self._connection, self._first, self._limits, self._cut = connection, first, server.limits, server.cut
        super().__init__(connection.socket, address, server)

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul.event_queue.get_nowait()  # the plain socket's event that it is connected
        association.dul.socket = _LimitedSocket(
            association, self._connection.socket, self._first, self._limits, self._cut
        )
        self._connection.association = association
        return association


class _LimitedSocket(AssociationSocket):
    """A socket that enforces the limits on size and time when it is read.

    pynetdicom reads the six bytes of a PDU's head, then the rest, then the next head.
    """

    def __init__(
        self,
        association: Association,
        client: socket.socket,
        first: bytes,
        limits: ConnectionLimits,
        cut: Callable[[str], None],
    ) -> None:
        super().__init__(association, client_socket=client)
        self._first, self._limits, self._cut = first, limits, cut
        self._at_head, self._type = True, 0
        self._object = self._association = 0

    @property
    def ready(self) -> bool:
        """Whether data can be read; False while too many objects wait for their answer."""
        if self._first:
            return True
        if self.assoc.dimse.msg_queue.qsize() >= _MOST_WAITING:
            return False
        return super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """Read this number of bytes, or fewer if the caller has hung up.

        Raises:
            OSError: the caller was too slow, or exceeded a limit; the connection is closed.
        """
        try:
            if self._first:
                read, self._first = bytearray(self._first[:nr_bytes]), self._first[nr_bytes:]
            else:
                assert self.socket is not None
                read = _read(self.socket, nr_bytes, time.monotonic() + self._limits.pdu_seconds)
            if len(read) == nr_bytes:
                self._check_limits(bytes(read))
            return read
        except OSError as error:
            self._cut(str(error) if isinstance(error, _Breach) else "broken off")
            self._shutdown_socket()
            raise

    def _check_limits(self, read: bytes) -> None:
        self._association += len(read)
        if self._association > self._limits.association_bytes:
            raise _Breach("association too large")
        if self._at_head:
            self._type = _checked(read, _MOST_REQUEST_BYTES if self._association == _HEAD_BYTES else _MOST_DATA_BYTES)
        elif self._type == _DATA:
            self._check_fragments(read)
        self._at_head = not self._at_head

    def _check_fragments(self, body: bytes) -> None:
        """Add up the fragments of an object (DICOM PS3.8 9.3.5 and annex E)."""
        at = 0
        while at + _HEAD_BYTES <= len(body):
            size = int.from_bytes(body[at : at + 4], "big")
            self._object += size
            if self._object > self._limits.object_bytes:
                raise _Breach("object too large")
            if body[at + 5] & 2:
                self._object = 0
            at += 4 + max(size, 2)


def _association_request(client: socket.socket, end: float) -> bytes:
    """Read the first PDU completely.

    Raises:
        OSError: it does not arrive in time, is not an association request, or is too large.
    """
    head = _read(client, _HEAD_BYTES, end)
    if len(head) < _HEAD_BYTES or _checked(bytes(head), _MOST_REQUEST_BYTES) != _REQUEST:
        raise _Breach("no association request")
    length = int.from_bytes(head[2:], "big")
    body = _read(client, length, end)
    if len(body) < length:
        raise _Breach("no association request")
    A_ASSOCIATE_RQ().decode(bytes(head + body))  # the parser may raise anything on damaged input
    return bytes(head + body)


def _checked(head: bytes, most: int) -> int:
    """Returns the type of a PDU, after checking it and the size (DICOM PS3.8 9.3.1)."""
    if not _REQUEST <= head[0] <= _LAST_TYPE:
        raise _Breach("unknown PDU type")
    if int.from_bytes(head[2:6], "big") > most:
        raise _Breach("PDU too large")
    return head[0]


def _read(client: socket.socket, count: int, end: float) -> bytearray:
    """Read this number of bytes, or fewer if the caller has hung up.

    Raises:
        TimeoutError: they have not arrived in time.
    """
    received = bytearray()
    while len(received) < count:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        client.settimeout(left)
        piece = client.recv(min(count - len(received), _PIECE))
        if not piece:
            break
        received += piece
    return received
