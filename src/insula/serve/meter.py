"""What Prometheus is told: requests, jobs, workers; nothing of what was sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from insula.serve.jobs import Jobs
from insula.serve.workers import Workers

__all__ = ["JobGauges", "Meter"]

_STATES = ("queued", "running", "done", "refused", "failed")
_METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS")
_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass
class _Seen:
    status: int = 500


class JobGauges:
    """What service and node count alike, in a registry that they share with it.

    Args:
        jobs: counted when asked.
        workers: likewise.
    """

    def __init__(self, jobs: Jobs, workers: Workers) -> None:
        self._jobs, self._workers = jobs, workers
        self.registry = CollectorRegistry()
        self._states = Gauge("insula_jobs", "Jobs that are kept, by state.", ("state",), registry=self.registry)
        self._ready = Gauge("insula_workers_ready", "Workers that can take a job.", registry=self.registry)
        self._restarts = Gauge(
            "insula_worker_restarts", "Workers that had to be started again.", registry=self.registry
        )

    def text(self) -> str:
        """Everything in the registry, in Prometheus' format."""
        count = self._jobs.count()
        for state in _STATES:
            self._states.labels(state).set(count.get(state, 0))
        self._ready.set(self._workers.ready)
        self._restarts.set(self._workers.restarts)
        return generate_latest(self.registry).decode()


class Meter:
    """Counts for one application, in a registry of its own.

    Args:
        jobs: counted when asked.
        workers: likewise.
    """

    def __init__(self, jobs: Jobs, workers: Workers) -> None:
        self._gauges = JobGauges(jobs, workers)
        about = "Requests by route and status, and how long they took."
        self._seconds = Histogram(
            "insula_request_seconds",
            about,
            ("method", "route", "status"),
            registry=self._gauges.registry,
            buckets=_EDGES,
        )

    @contextmanager
    def request(self, request: Request) -> Iterator[_Seen]:
        """Measure one request; by its route, so that no job's id becomes a label."""
        seen, begun = _Seen(), time.perf_counter()
        try:
            yield seen
        finally:
            route = getattr(request.scope.get("route"), "path", "other")
            method = request.method if request.method in _METHODS else "other"  # what a client makes up would be kept
            labels = (method, route, str(seen.status))
            self._seconds.labels(*labels).observe(time.perf_counter() - begun)

    def text(self) -> str:
        """In Prometheus' format."""
        return self._gauges.text()
