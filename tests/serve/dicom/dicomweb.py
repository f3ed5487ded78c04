"""An archive that speaks STOW-RS, made here: it parses what comes, and answers as it is told to."""

from __future__ import annotations

import email
import email.policy
import http.server
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset, dcmread


@dataclass
class DicomWeb:
    """What it got, and how it answers."""

    url: str = ""
    refuse: int = 0
    """So many instances are refused first, one in each request."""
    answer: tuple[int, bytes] | None = None
    """Said whatever comes."""
    got: list[Dataset] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def dicomweb(context: Any = None) -> Iterator[DicomWeb]:
    """Run one; by TLS if a context is given."""
    web = DicomWeb()

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.requests.append({"path": self.path} | dict(self.headers))
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = email.message_from_bytes(head + body, policy=email.policy.HTTP)
            datasets = [dcmread(io.BytesIO(part.get_payload(decode=True))) for part in parts.iter_parts()]
            status, answer = web.answer or _stored(web, datasets)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()  # polls for its end every 20 ms
    web.url = f"{'https' if context else 'http'}://localhost:{server.server_address[1]}/dicom-web"
    yield web
    server.shutdown()
    server.server_close()


def _stored(server: DicomWeb, datasets: list[Dataset]) -> tuple[int, bytes]:
    failed, kept = datasets[: min(server.refuse, 1)], datasets[min(server.refuse, 1) :]
    server.refuse = max(0, server.refuse - 1)
    server.got += kept
    status = 200 if not failed else 202 if kept else 409
    return status, answer_of(
        {dataset.SOPInstanceUID: 0xA900 for dataset in failed}, {dataset.SOPInstanceUID: 0 for dataset in kept}
    )


def answer_of(failed: dict[str, int], kept: dict[str, int]) -> bytes:
    """A Store Instances Response as DICOM JSON (PS3.18 I)."""

    def item(uid: str, tag: str, code: int) -> dict[str, Any]:
        attributes: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [str(uid)]}}
        return attributes | ({tag: {"vr": "US", "Value": [code]}} if code else {})

    answer = {
        "00081190": {"vr": "UR", "Value": ["http://x"]},
        "00081198": {"vr": "SQ", "Value": [item(uid, "00081197", code) for uid, code in failed.items()]},
        "00081199": {"vr": "SQ", "Value": [item(uid, "00081196", code) for uid, code in kept.items()]},
    }
    return json.dumps(answer).encode()


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
