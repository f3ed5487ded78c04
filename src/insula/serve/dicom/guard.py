"""Who may hold a connection to the node, for how long, and how much may come through it."""

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

__all__ = ["GuardedServer", "Limits"]

_log = logging.getLogger(__name__)
_HEAD_BYTES = 6
_REQUEST, _DATA, _LAST_TYPE = 0x01, 0x04, 0x07
_MOST_REQUEST_BYTES = 1 << 20
"""Of an A-ASSOCIATE-RQ: 128 contexts with 40 transfer syntaxes each take 170 kB."""
_MOST_DATA_BYTES = 1 << 17
"""Of a later PDU; the node tells every caller that it takes 16 KiB."""
_MOST_WAITING = 2
"""Objects that a caller may send before the first is answered; more are left in the network."""
_PIECE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one caller may take of the node."""

    connections: int
    """At once, of all callers."""
    per_caller: int
    """At once, of one network address."""
    silent_seconds: float
    """In which a new connection has to ask for an association."""
    pdu_seconds: float
    """In which a PDU that has begun has to be complete."""
    object_bytes: int
    """The largest object that is taken."""
    association_bytes: int
    """The most that one association may send."""


class _Breach(OSError):
    """A caller took more than it may."""


@dataclass(eq=False)
class _Connection:
    address: str
    socket: socket.socket
    begun: float = field(default_factory=time.monotonic)
    association: Association | None = None
    ended: bool = False

    @property
    def open(self) -> bool:
        """Whether it still has a thread."""
        if self.association is None:
            return not self.ended
        if self.association.ident is None:  # about to begin
            return True
        return self.association.is_alive() or self.association.dul.is_alive()

    def cut(self) -> None:
        """Hang up; whoever reads from it notices at once."""
        with contextlib.suppress(OSError, ValueError):
            self.socket.shutdown(socket.SHUT_RDWR)


class GuardedServer(ThreadedAssociationServer):
    """An association server whose threads and memory are bounded.

    A connection becomes an association, with its threads and tables, only after a whole association request has come in time. Where
    an address has as many connections as it may, a new one takes the place of the oldest that has not said anything; if all have, the
    new one is turned away.

    Args:
        limits: see there.
        cut: is called with the reason for every connection that was turned away or cut off.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *args: Any, limits: Limits, cut: Callable[[str], None], **kwargs: Any) -> None:
        self.limits, self.cut = limits, cut
        self._connections: dict[socket.socket, _Connection] = {}
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; a TLS handshake is waited for elsewhere, so that a silent caller keeps nobody waiting."""
        assert self.socket is not None
        return self.socket.accept()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Make room for a connection, or turn it away."""
        with self._lock:
            self._connections = {key: one for key, one in self._connections.items() if one.open}
            everybody = list(self._connections.values())
            same = [one for one in everybody if one.address == client_address[0]]
            if not (self._room(same, self.limits.per_caller) and self._room(everybody, self.limits.connections)):
                self.cut("too many connections")
                return False
            self._connections[request] = _Connection(client_address[0], request)
        return True

    def _room(self, some: list[_Connection], most: int) -> bool:
        alive = [one for one in some if one.open]
        if len(alive) < most:
            return True
        silent = [one for one in alive if one.association is None]
        if not silent:
            return False
        oldest = min(silent, key=lambda one: one.begun)
        oldest.ended = True
        oldest.cut()
        self.cut("silent, and another caller came")
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
        except Exception as error:  # of TLS, of the network, of pynetdicom: the caller is gone or not to be helped
            if not connection.ended:
                self.cut("silent" if isinstance(error, TimeoutError) else "no association request")
            connection.ended = True
            self.shutdown_request(connection.socket)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong without its text, which may quote what was sent."""
        kind = sys.exc_info()[0]
        _log.warning("a connection failed: %s", kind.__name__ if kind else "?")

    def stop(self) -> None:
        """Stop listening, and hang up on everybody."""
        BaseServer.shutdown(self)
        self.server_close()
        for one in list(self._connections.values()):
            one.cut()


class _Handler(RequestHandler):
    """Makes the association of a connection whose first PDU has come."""

    def __init__(self, connection: _Connection, address: Any, server: GuardedServer, first: bytes) -> None:
        self._connection, self._first, self._limits, self._cut = connection, first, server.limits, server.cut
        super().__init__(connection.socket, address, server)

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul.event_queue.get_nowait()  # the plain socket's word that it is connected
        association.dul.socket = _LimitedSocket(
            association, self._connection.socket, self._first, self._limits, self._cut
        )
        self._connection.association = association
        return association


class _LimitedSocket(AssociationSocket):
    """A socket from which no more is read than a caller may send, and not for longer.

    pynetdicom asks for the six bytes of a PDU's head, then for the rest, and so on.
    """

    def __init__(
        self, association: Association, client: socket.socket, first: bytes, limits: Limits, cut: Callable[[str], None]
    ) -> None:
        super().__init__(association, client_socket=client)
        self._first, self._limits, self._cut = first, limits, cut
        self._at_head, self._type = True, 0
        self._object = self._association = 0

    @property
    def ready(self) -> bool:
        """Whether something can be read; not while objects wait for their answer."""
        if self._first:
            return True
        if self.assoc.dimse.msg_queue.qsize() >= _MOST_WAITING:
            return False
        return super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """So many bytes, or fewer where the caller has hung up.

        Raises:
            OSError: the caller was too slow, or took more than it may; the connection is closed.
        """
        try:
            if self._first:
                read, self._first = bytearray(self._first[:nr_bytes]), self._first[nr_bytes:]
            else:
                assert self.socket is not None
                read = _read(self.socket, nr_bytes, time.monotonic() + self._limits.pdu_seconds)
            if len(read) == nr_bytes:
                self._weigh(bytes(read))
            return read
        except OSError as error:
            self._cut(str(error) if isinstance(error, _Breach) else "broken off")
            self._shutdown_socket()
            raise

    def _weigh(self, read: bytes) -> None:
        self._association += len(read)
        if self._association > self._limits.association_bytes:
            raise _Breach("an association of too many bytes")
        if self._at_head:
            self._type = _checked(read, _MOST_REQUEST_BYTES if self._association == _HEAD_BYTES else _MOST_DATA_BYTES)
        elif self._type == _DATA:
            self._weigh_fragments(read)
        self._at_head = not self._at_head

    def _weigh_fragments(self, body: bytes) -> None:
        """Add up the fragments of an object (DICOM PS3.8 9.3.5 and annex E)."""
        at = 0
        while at + _HEAD_BYTES <= len(body):
            size = int.from_bytes(body[at : at + 4], "big")
            self._object += size
            if self._object > self._limits.object_bytes:
                raise _Breach("an object of too many bytes")
            if body[at + 5] & 2:
                self._object = 0
            at += 4 + max(size, 2)


def _association_request(client: socket.socket, end: float) -> bytes:
    """The first PDU, whole.

    Raises:
        OSError: it does not come in time, is not what it should be, or is too long.
    """
    head = _read(client, _HEAD_BYTES, end)
    if len(head) < _HEAD_BYTES or _checked(bytes(head), _MOST_REQUEST_BYTES) != _REQUEST:
        raise _Breach("no association request")
    length = int.from_bytes(head[2:], "big")
    body = _read(client, length, end)
    if len(body) < length:
        raise _Breach("no association request")
    A_ASSOCIATE_RQ().decode(bytes(head + body))  # raises whatever its parser trips over
    return bytes(head + body)


def _checked(head: bytes, most: int) -> int:
    """The type of a PDU (DICOM PS3.8 9.3.1)."""
    if not _REQUEST <= head[0] <= _LAST_TYPE:
        raise _Breach("a PDU of no known type")
    if int.from_bytes(head[2:6], "big") > most:
        raise _Breach("a PDU of too many bytes")
    return head[0]


def _read(client: socket.socket, count: int, end: float) -> bytearray:
    """So many bytes, or fewer where the caller has hung up.

    Raises:
        TimeoutError: they have not come in time.
    """
    found = bytearray()
    while len(found) < count:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        client.settimeout(left)
        piece = client.recv(min(count - len(found), _PIECE))
        if not piece:
            break
        found += piece
    return found
