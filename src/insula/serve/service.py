"""The state of a running service, and the access checks that its routes depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, HTTPException, Request

from insula.config import ServeConfig, TokenConfig
from insula.serve.audit import Audit
from insula.serve.failures import Failures
from insula.serve.jobs import Job, Jobs
from insula.serve.meter import Meter
from insula.serve.store import JobStore
from insula.serve.tokens import owner_of
from insula.serve.workers import Workers

__all__ = ["OwnJob", "Owner", "RETRY_SECONDS", "Service", "TheService", "gone", "problem"]

RETRY_SECONDS = 10
"""Seconds after which a rejected sender may try again (Retry-After)."""


@dataclass
class Service:
    """The state of one running service."""

    store: JobStore
    """The service's folder, already swept."""
    jobs: Jobs
    workers: Workers
    config: ServeConfig
    tokens: Sequence[TokenConfig]
    """Tokens that grant access."""
    receiving: set[str] = field(default_factory=set)
    """Ids of uploads in progress; they have no place in the queue yet."""
    audit: Audit = field(default_factory=lambda: Audit(None))
    """The audit log."""

    def __post_init__(self) -> None:
        self.meter = Meter(self.jobs, self.workers)
        self.failures = Failures(self.config.failed_tokens)


def problem(status: int, what: str, rule: str, remedy: str, headers: dict[str, str] | None = None) -> HTTPException:
    """Returns an HTTP error whose body has the four parts of every Insula error."""
    error = {
        "kind": "HTTP",
        "what": what,
        "value": "",
        "rule": rule,
        "remedy": remedy,
        "message": f"{what} {rule}; {remedy}",
    }
    return HTTPException(status, error, headers)


def gone() -> HTTPException:
    """Returns the error for a job that does not exist or has expired."""
    return problem(404, "the job", "does not exist, or has expired", "send the scan again")


def _service(request: Request) -> Service:
    return request.app.state.service


TheService = Annotated[Service, Depends(_service)]
"""The service that the application exposes."""


def _owner(request: Request, service: TheService, authorization: Annotated[str, Header()] = "") -> str:
    address = request.client.host if request.client else ""
    if authorization and (wait := service.failures.wait_seconds(address, authorization)):
        rule = f"was wrong {service.config.failed_tokens} times within a minute from this address"
        raise problem(429, "the token", rule, f"wait {wait} seconds", {"Retry-After": str(wait)})
    owner = owner_of(authorization, service.tokens)
    if owner is None:
        if authorization:  # a missing token is not a guess
            service.failures.add(address)
            request.state.guessed = True
        headers = {"WWW-Authenticate": "Bearer"}
        raise problem(
            401, "the token", "is missing, wrong or expired", "send the header Authorization: Bearer TOKEN", headers
        )
    service.failures.right(address, authorization)
    request.state.owner = owner
    return owner


Owner = Annotated[str, Depends(_owner)]
"""Owner of the request's token; 401 without a valid token, 429 after too many wrong ones."""


def _callers_job(id: str, request: Request, service: TheService, owner: Owner) -> Job:
    job = service.jobs.get(id, owner=owner)
    if job is None:  # another owner's job gets the same response
        raise gone()
    request.state.job = job
    return job


OwnJob = Annotated[Job, Depends(_callers_job)]
"""The job in the address if it belongs to the caller; 404 otherwise."""
