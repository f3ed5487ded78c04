"""Prometheus metrics of requests, jobs and workers; they contain nothing from the uploads."""

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
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS")
_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass
class _Measurement:
    status: int = 500


class JobGauges:
    """Gauges that the service and the DICOM node have in common, with the registry for the other metrics.

    Args:
        jobs: jobs, counted when the metrics are read.
        workers: workers, counted at the same time.
    """

    def __init__(self, jobs: Jobs, workers: Workers) -> None:
        self._jobs, self._workers = jobs, workers
        self.registry = CollectorRegistry()
        self._states = Gauge("insula_jobs", "Jobs in the store, by state.", ("state",), registry=self.registry)
        self._ready = Gauge("insula_workers_ready", "Workers that can take a job.", registry=self.registry)
        self._restarts = Gauge(
            "insula_worker_restarts", "Times that a worker had to be restarted.", registry=self.registry
        )

    def text(self) -> str:
        """Returns all metrics of the registry in Prometheus' text format."""
        count = self._jobs.count()
        for state in _STATES:
            self._states.labels(state).set(count.get(state, 0))
        self._ready.set(self._workers.ready)
        self._restarts.set(self._workers.restarts)
        return generate_latest(self.registry).decode()


class Meter:
    """Metrics of one application, in a registry of its own.

    Args:
        jobs: jobs, counted when the metrics are read.
        workers: workers, counted at the same time.
    """

    def __init__(self, jobs: Jobs, workers: Workers) -> None:
        self._gauges = JobGauges(jobs, workers)
        about = "Duration of requests, by route and status."
        self._seconds = Histogram(
            "insula_request_seconds",
            about,
            ("method", "route", "status"),
            registry=self._gauges.registry,
            buckets=_EDGES,
        )

    @contextmanager
    def request(self, request: Request) -> Iterator[_Measurement]:
        """Measure the duration of a request; labelled by its route, so that no job's id becomes a label."""
        measurement, begun = _Measurement(), time.perf_counter()
        try:
            yield measurement
        finally:
            route = getattr(request.scope.get("route"), "path", "other")
            # methods that a client invents would all be kept as labels
            method = request.method if request.method in _METHODS else "other"
            labels = (method, route, str(measurement.status))
            self._seconds.labels(*labels).observe(time.perf_counter() - begun)

    def text(self) -> str:
        """Returns all metrics in Prometheus' text format."""
        return self._gauges.text()
