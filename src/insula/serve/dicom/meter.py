"""Prometheus metrics of the node: callers, objects and sent results; they contain nothing from the objects."""

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
    """Metrics of one node.

    Args:
        jobs: jobs, counted when the metrics are read.
        workers: workers, counted at the same time.
    """

    def __init__(self, jobs: Jobs, workers: Workers) -> None:
        self._gauges = JobGauges(jobs, workers)
        registry = self._gauges.registry
        self._associations = Counter(
            "insula_associations", "Associations, by how they started or ended.", ("outcome",), registry=registry
        )
        self._objects = Counter("insula_objects", "Objects received by C-STORE.", ("outcome",), registry=registry)
        self._series = Counter(
            "insula_series", "Complete series, by what was done with them.", ("outcome",), registry=registry
        )
        self._sent = Counter(
            "insula_results",
            "Results, by the archive's answer or why they were not sent.",
            ("outcome",),
            registry=registry,
        )

    def association(self, outcome: Literal["accepted", "rejected", "cut"]) -> None:
        """Count an association: accepted, rejected for its AE titles, or cut off."""
        self._associations.labels(outcome).inc()

    def object(self, outcome: Literal["stored", "failed"]) -> None:
        """Count a received object."""
        self._objects.labels(outcome).inc()

    def series(self, outcome: Literal["queued", "again", "passed over"]) -> None:
        """Count a complete series."""
        self._series.labels(outcome).inc()

    def result(self, outcome: Literal["stored", "not stored", "held back"]) -> None:
        """Count a result: an object that was sent, or a job whose objects are held back from the archive."""
        self._sent.labels(outcome).inc()

    def text(self) -> str:
        """Returns all metrics in Prometheus' text format."""
        return self._gauges.text()


@contextmanager
def metrics_door(meter: NodeMeter, host: str, port: int | None) -> Iterator[None]:
    """Answer GET /metrics while the context is open; without a port, do nothing.

    Args:
        meter: the node's metrics.
        host: address to listen on.
        port: port to listen on; None for no metrics.

    Raises:
        CannotCreate: the port is in use, or this user may not open it.
    """
    if port is None:
        yield
        return

    class Door(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            known = self.path == "/metrics"
            body = meter.text().encode() if known else b""
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def version_string(self) -> str:
            return "insula"

    class Listening(http.server.HTTPServer):  # one request at a time, so that clients cannot use up threads
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = Listening((host, port), Door)
    except (OSError, OverflowError):
        raise CannotCreate("the metrics' port", port, "is in use, or needs more rights", "choose another") from None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
