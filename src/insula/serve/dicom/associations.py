"""Accept associations for C-STORE and C-ECHO, and log, audit and count them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.pdu import A_ABORT_RQ, A_RELEASE_RQ
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from insula.config import ListenConfig
from insula.errors import CannotCreate, UsageError
from insula.serve.audit import Audit
from insula.serve.dicom.guard import ConnectionLimits, GuardedServer
from insula.serve.dicom.meter import NodeMeter
from insula.serve.dicom.tls import node_context

if TYPE_CHECKING:
    from pynetdicom.events import Event, EventHandlerType

__all__ = ["Door", "check_titles"]

_log = logging.getLogger(__name__)
_PDU_SECONDS, _IDLE_SECONDS = 30.0, 60.0
_REJECTED = "rejected"


def check_titles(config: ListenConfig) -> None:
    """Check that all AE titles are valid.

    Raises:
        UsageError: a title does not have 1 to 16 printable ASCII characters, or has a backslash.
    """
    for what, title in (
        ("the AE title", config.title),
        *(("the caller's AE title", caller) for caller in config.callers),
    ):
        if not 0 < len(title.strip()) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
            raise UsageError(what, title, "does not have 1 to 16 characters", "choose another")


@dataclass
class _Call:
    """An accepted association."""

    begun: float = field(default_factory=time.monotonic)
    outcome: str = "broken off"
    counts: Counter[str] = field(default_factory=Counter)


class Door:
    """Accepts callers and receives what they send.

    Args:
        config: titles and limits.
        store: handles a C-STORE request and returns its status.
        meter: the node's metrics.
        audit: the audit log, to which every association is written when it ends.
    """

    def __init__(self, config: ListenConfig, store: Callable[[Event], int], meter: NodeMeter, audit: Audit) -> None:
        self._config, self._store, self._meter, self._audit = config, store, meter, audit
        self._lock = threading.Lock()
        self._cut: Counter[str] = Counter()
        self._calls: dict[int, _Call] = {}

    @contextmanager
    def opened(self, address: tuple[str, int]) -> Iterator[int]:
        """Listen while the context is open; yields the port.

        Args:
            address: host and port to listen on; port 0 picks a free one.

        Raises:
            CannotCreate: the port is in use, or this user may not open it.
            UsageError, NoInput, BadData: as `node_context`.
        """
        config = self._config
        limits = ConnectionLimits(
            connections=config.most_connections,
            per_caller=config.most_per_caller,
            silent_seconds=config.silent_seconds,
            pdu_seconds=_PDU_SECONDS,
            object_bytes=config.most_mb * 10**6,
            association_bytes=config.association_mb * 10**6,
        )
        handlers: list[EventHandlerType] = [
            (evt.EVT_C_STORE, self._stored),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_PDU_RECV, self._received),
            (evt.EVT_RELEASED, self._ended),
            (evt.EVT_ABORTED, self._ended),
            (evt.EVT_CONN_CLOSE, self._ended),
        ]
        tls = node_context(config)
        try:
            server = _entity(config).make_server(
                address,
                ssl_context=tls,
                evt_handlers=handlers,
                server_class=GuardedServer,
                limits=limits,
                cut=self._was_cut,
            )
        except OSError:
            raise CannotCreate(
                "the port", address[1], "is in use, or needs more rights", "choose another `port`"
            ) from None
        assert isinstance(server, GuardedServer)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.stop()

    def tell_cut(self) -> None:
        """Log how many callers were cut off since the last call, in one line for each reason."""
        with self._lock:
            cut, self._cut = self._cut, Counter()
        for reason, count in cut.items():
            _log.warning("connections cut off: %d (%s)", count, reason)

    def _was_cut(self, reason: str) -> None:
        self._meter.association("cut")
        with self._lock:
            self._cut[reason] += 1

    def _stored(self, event: Event) -> int:
        status = self._store(event)
        self._meter.object("failed" if status else "stored")
        if call := self._calls.get(id(event.assoc)):  # None if the connection has broken off meanwhile
            call.counts["failed" if status else "stored"] += 1
        return status

    def _accepted(self, event: Event) -> None:
        self._meter.association("accepted")
        self._calls[id(event.assoc)] = _Call()

    def _rejected(self, event: Event) -> None:
        self._meter.association("rejected")
        # an unknown title may contain anything, and is not written
        self._audit.write("association", who="", outcome=_REJECTED, address=_address(event))

    def _received(self, event: Event) -> None:
        """Note how the caller ends the association; pynetdicom's own events come from two threads, in either order."""
        call = self._calls.get(id(event.assoc))
        if call is not None and isinstance(event.pdu, A_RELEASE_RQ | A_ABORT_RQ):
            call.outcome = "released" if isinstance(event.pdu, A_RELEASE_RQ) else "aborted"

    def _ended(self, event: Event) -> None:
        call = self._calls.pop(id(event.assoc), None)
        if call is None:  # already written, or never accepted
            return
        self._audit.write(
            "association",
            who=event.assoc.requestor.ae_title,
            outcome=call.outcome,
            ms=1000 * (time.monotonic() - call.begun),
            address=_address(event),
            stored=call.counts["stored"],
            failed=call.counts["failed"],
        )


def _entity(config: ListenConfig) -> AE:
    """Returns an application entity that answers C-ECHO and accepts whole studies.

    It accepts every kind of object in every transfer syntax.
    """
    node = AE(ae_title=config.title)
    node.require_called_aet = not config.any_called
    node.require_calling_aet = list(config.callers)
    node.maximum_associations = config.most_connections + 1  # the server enforces the limit itself
    node.acse_timeout = config.silent_seconds
    node.network_timeout = node.dimse_timeout = _IDLE_SECONDS
    node.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        node.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    return node


def _address(event: Event) -> str:
    return str(event.assoc.requestor.address)
