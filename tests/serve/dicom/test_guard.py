"""The node under attack: silence, rubbish, claims of huge lengths; and who is let in."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.sop_class import MRImageStorage, Verification

from insula.config import ListenConfig
from insula.errors import BadData, NoInput, UsageError
from insula.serve.audit import Audit
from insula.serve.dicom.associations import Door, check_titles
from insula.serve.dicom.meter import NodeMeter
from insula.serve.dicom.tls import node_context
from io_series import write_series
from serve.certificate import make_certificate

HOST = "127.0.0.1"


@dataclass
class Heard(NodeMeter, Audit):
    """A door in this process, and what it says."""

    port: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    lines: list[dict[str, Any]] = field(default_factory=list)
    cut: Callable[[], None] = lambda: None

    def association(self, outcome: str) -> None:
        self.counts[outcome] += 1

    def object(self, outcome: str) -> None:
        self.counts[outcome] += 1

    def write(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event} | fields)


@contextmanager
def door(store: Callable[[Any], int] = lambda _: 0, **knobs: Any) -> Iterator[Heard]:
    heard = Heard()
    new_door = Door(ListenConfig(**{"silent_seconds": 60.0} | knobs), store, heard, heard)
    heard.cut = new_door.tell_cut
    with new_door.opened((HOST, 0)) as port:
        heard.port = port
        yield heard


def echo(port: int, *, called: str = "INSULA", title: str = "SCANNER", tls: ssl.SSLContext | None = None) -> bool:
    """Whether somebody is let in and answered."""
    caller = AE(ae_title=title)
    caller.acse_timeout = caller.network_timeout = caller.dimse_timeout = 60  # others may keep the machine busy
    caller.add_requested_context(Verification)
    association = caller.associate(HOST, port, ae_title=called, tls_args=(tls, "localhost") if tls else None)
    if not association.is_established:
        return False
    answer = association.send_c_echo()
    association.release()
    return bool(answer) and answer.Status == 0


def until(true: Callable[[], bool]) -> None:
    """Wait for something."""
    end = time.monotonic() + 90
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def request() -> bytes:
    """An association request as bytes."""
    caller = AE(ae_title="SCANNER")
    caller.add_requested_context(Verification)
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "SCANNER", "INSULA"
    contexts = caller.requested_contexts
    contexts[0].context_id = 1
    primitive.presentation_context_definition_list = contexts
    length = MaximumLengthNotification()
    length.maximum_length_received = 16382
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3"
    primitive.user_information = [length, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def hung_up(client: socket.socket, seconds: float) -> bool:
    """Whether the other side closes within a time; what it says first does not matter."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            if not client.recv(4096):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


def test_only_its_own_title_is_heard() -> None:
    with door(title="NODE") as heard:
        assert echo(heard.port, called="NODE")
        assert not echo(heard.port, called="CANARY")
        assert not echo(heard.port, called="node")
        until(lambda: len(heard.lines) == 3)
    assert heard.counts["rejected"] == 2
    rejected = [line for line in heard.lines if line["outcome"] == "rejected"]
    assert len(rejected) == 2
    assert "CANARY" not in str(rejected)


def test_any_title_is_heard_when_told_so() -> None:
    with door(any_called=True) as heard:
        assert echo(heard.port, called="WHATEVER")


def test_only_listed_callers_are_let_in() -> None:
    with door(callers=("SCANNER", "PACS 2")) as heard:
        assert echo(heard.port)
        assert echo(heard.port, title="PACS 2")
        assert not echo(heard.port, title="STRANGER")


@pytest.mark.parametrize(
    "knobs", [{"title": ""}, {"title": "   "}, {"title": "A" * 17}, {"callers": ("A\\B",)}, {"callers": ("é",)}]
)
def test_titles_that_are_none_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="1 to 16 characters"):
        check_titles(ListenConfig(**knobs))


def test_silent_connections_keep_nobody_out() -> None:
    with door() as heard, ExitStack() as kept:
        for _ in range(60):
            kept.enter_context(socket.create_connection((HOST, heard.port)))
        begun = time.monotonic()
        assert all(echo(heard.port) for _ in range(3))
        assert time.monotonic() - begun < 50, "sooner than the silent ones end by themselves"
    assert heard.counts["cut"] >= 50


def test_silent_connections_end_soon() -> None:
    with door(silent_seconds=1.0) as heard, ExitStack() as kept:
        silent = [kept.enter_context(socket.create_connection((HOST, heard.port))) for _ in range(5)]
        assert all(hung_up(connection, 30) for connection in silent)


def test_half_a_request_ends_as_soon_as_silence() -> None:
    with door(silent_seconds=1.0) as heard, socket.create_connection((HOST, heard.port)) as slow:
        for byte in request()[:12]:
            try:
                slow.sendall(bytes([byte]))
            except OSError:
                break
            time.sleep(0.25)
        assert hung_up(slow, 20)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a door without
        b"\x00" * 6,
        b"\x01\x00" + (2 << 30).to_bytes(4, "big"),
        b"\x01\x00" + (0xFFFFFFFF).to_bytes(4, "big") + b"x" * 1000,
        b"\x01\x00\x00\x00\x00\x04abcd",
        b"\x01\x00\x00\x00\x00\x00",
        b"\x01\x00\x00\x00\x00\x50" + b"\xff" * 80,
        b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\x01\x03",
        b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00",
        b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00",
    ],
)
def test_what_is_no_request_is_cut_off_at_once(sent: bytes) -> None:
    with door() as heard:
        with socket.create_connection((HOST, heard.port)) as client:
            client.sendall(sent)
            assert hung_up(client, 40)
        assert echo(heard.port)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x04\x00" + (2 << 30).to_bytes(4, "big"), "PDU too large"),
        (b"\x04\x00" + (1 << 18).to_bytes(4, "big"), "PDU too large"),
        (b"\x01\x00" + (1 << 18).to_bytes(4, "big"), "PDU too large"),
        (b"\x09\x00\x00\x00\x00\x04abcd", "unknown PDU type"),
    ],
)
def test_an_association_is_cut_off_at_its_first_breach(sent: bytes, reason: str, caplog: Any) -> None:
    with door() as heard:
        with socket.create_connection((HOST, heard.port)) as client:
            client.sendall(request())
            assert client.recv(1) == b"\x02", "accepted"
            client.sendall(sent)
            assert hung_up(client, 40)
        heard.cut()
        assert echo(heard.port)
    assert reason in caplog.text


def _fragments(client: socket.socket, count: int) -> None:
    """P-DATA of a dataset that does not end."""
    fragment = b"\x01\x00" + b"x" * 16_000
    pdv = len(fragment).to_bytes(4, "big") + fragment
    for _ in range(count):
        client.sendall(b"\x04\x00" + len(pdv).to_bytes(4, "big") + pdv)


@pytest.mark.parametrize(("knobs", "reason"), [({"most_mb": 1}, "object"), ({"association_mb": 1}, "association")])
def test_what_never_ends_is_cut_off(knobs: dict[str, int], reason: str, caplog: Any) -> None:
    with door(**knobs) as heard:
        with socket.create_connection((HOST, heard.port)) as client:
            client.sendall(request())
            client.recv(1)
            with suppress(OSError):  # it hangs up in the middle
                _fragments(client, 2000)
            assert hung_up(client, 40)
        until(lambda: heard.counts["cut"] > 0)
        heard.cut()
    assert f"{reason} too large" in caplog.text


def test_several_objects_may_be_more_than_one_may(tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")  # 22 images of 1.5 kB
    with door(most_mb=1, association_mb=100) as heard:
        caller = AE(ae_title="SCANNER")
        caller.add_requested_context(MRImageStorage)
        association = caller.associate(HOST, heard.port, ae_title="INSULA")
        data = dcmread(next(series.iterdir()))
        data.Rows, data.Columns, data.PixelData = 600, 600, bytes(2 * 600 * 600)
        assert [association.send_c_store(data).Status for _ in range(3)] == [0, 0, 0]
        association.release()
    assert heard.counts["stored"] == 3


def test_rubbish_takes_few_threads_and_little_memory() -> None:
    process = psutil.Process()
    with door(silent_seconds=5.0) as heard, ExitStack() as kept:
        until(lambda: echo(heard.port))
        before, threads = process.memory_info().rss, threading.active_count()
        most = 0
        for number in range(300):
            client = kept.enter_context(socket.create_connection((HOST, heard.port)))
            client.sendall(
                request()[: 40 + number % 40] if number % 3 else request() + b"\x04\x00\x00\x00\x00\x06" + b"\xff" * 6
            )
            most = max(most, threading.active_count() - threads)
        assert most <= 80, "at most 40 connections, of two threads each"
        assert process.memory_info().rss - before < 150e6
        until(lambda: echo(heard.port))
        until(lambda: threading.active_count() <= threads + 4)  # nothing lingers


def test_one_address_cannot_take_every_place() -> None:
    with door(most_per_caller=2, most_connections=8) as heard, ExitStack() as kept:
        for _ in range(2):
            client = kept.enter_context(socket.create_connection((HOST, heard.port)))
            client.sendall(request())
            assert client.recv(1) == b"\x02"
        assert not echo(heard.port)
        other = kept.enter_context(socket.socket())
        other.bind(("127.0.0.2", 0))
        other.connect((HOST, heard.port))
        other.sendall(request())
        assert other.recv(1) == b"\x02"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("node", "scanner"):
        hosts = "DNS:localhost,IP:127.0.0.1"
        make_certificate(folder / f"{name}.key", folder / f"{name}.pem", name=name, hosts=hosts)
    return folder


def test_tls_with_certificates_on_both_sides(certificates: Path) -> None:
    files = {"tls_cert": f"{certificates}/node.pem", "tls_key": f"{certificates}/node.key"}
    trusting = ssl.create_default_context(cafile=f"{certificates}/node.pem")
    known = ssl.create_default_context(cafile=f"{certificates}/node.pem")
    known.load_cert_chain(certificates / "scanner.pem", certificates / "scanner.key")
    with door(**files, silent_seconds=40.0) as heard, ExitStack() as kept:
        for _ in range(12):
            kept.enter_context(socket.create_connection((HOST, heard.port)))  # silent before the handshake
        begun = time.monotonic()
        assert echo(heard.port, tls=trusting)
        assert time.monotonic() - begun < 30
        assert not echo(heard.port), "not without TLS"
    with door(**files, tls_ca=f"{certificates}/scanner.pem") as heard:
        assert echo(heard.port, tls=known)
        assert not echo(heard.port, tls=trusting)


def test_certificates_that_are_none_are_refused(certificates: Path, tmp_path: Path) -> None:
    cert, key = f"{certificates}/node.pem", f"{certificates}/node.key"
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError, match="go together"):
        node_context(ListenConfig(tls_cert=cert))
    with pytest.raises(UsageError, match="the node's own certificate"):
        node_context(ListenConfig(tls_ca=cert))
    with pytest.raises(NoInput, match="does not exist"):
        node_context(ListenConfig(tls_cert="nope", tls_key=key))
    with pytest.raises(BadData, match="do not match"):
        node_context(ListenConfig(tls_cert=cert, tls_key=f"{certificates}/scanner.key"))
    with pytest.raises(BadData, match="give `tls_ca` a PEM file"):
        node_context(ListenConfig(tls_cert=cert, tls_key=key, tls_ca=str(tmp_path / "empty")))
