"""What Prometheus is told of the node: callers, objects, results that were sent; nothing of what was in them."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import Counter

from insula.errors import CannotCreate
from insula.serve.jobs import Jobs
from insula.serve.meter import JobGauges
from insula.serve.workers import Workers

__all__ = ["NodeMeter", "metrics_door"]


class NodeMeter:
    """Counts for one node.

    Args:
        jobs: counted when asked.
        workers: likewise.
    """

    def __init__(self, jobs: Jobs, workers: Workers) -> None:
        self._gauges = JobGauges(jobs, workers)
        registry = self._gauges.registry
        self._associations = Counter(
            "insula_associations", "Associations by how they began or ended.", ("outcome",), registry=registry
        )
        self._objects = Counter("insula_objects", "Objects that came by C-STORE.", ("outcome",), registry=registry)
        self._series = Counter(
            "insula_series", "Complete series by what became of them.", ("outcome",), registry=registry
        )
        self._sent = Counter(
            "insula_results",
            "Results by what the archive said, or why they were not sent.",
            ("outcome",),
            registry=registry,
        )

    def association(self, outcome: Literal["accepted", "rejected", "cut"]) -> None:
        """Count a caller: let in, turned away by its titles, or cut off."""
        self._associations.labels(outcome).inc()

    def object(self, outcome: Literal["stored", "failed"]) -> None:
        """Count an object that came."""
        self._objects.labels(outcome).inc()

    def series(self, outcome: Literal["queued", "again", "passed over"]) -> None:
        """Count a complete series."""
        self._series.labels(outcome).inc()

    def result(self, outcome: Literal["stored", "not stored", "held back"]) -> None:
        """Count a result: an object that was sent, or a job whose objects are held back."""
        self._sent.labels(outcome).inc()

    def text(self) -> str:
        """In Prometheus' format."""
        return self._gauges.text()


@contextmanager
def metrics_door(meter: NodeMeter, host: str, port: int | None) -> Iterator[None]:
    """Answer GET /metrics while this lasts; nothing where there is no port.

    Raises:
        CannotCreate: the port is taken, or not for this user.
    """
    if port is None:
        yield
        return

    class Door(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            found = self.path == "/metrics"
            body = meter.text().encode() if found else b""
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def version_string(self) -> str:
            return "insula"

    class Listening(http.server.HTTPServer):  # one request at a time, so that nobody takes many threads
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = Listening((host, port), Door)
    except (OSError, OverflowError):
        raise CannotCreate("the metrics' port", port, "is taken, or not for this user", "choose another") from None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
