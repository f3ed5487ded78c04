"""What the routes work with, and who may use it."""

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
from insula.serve.store import Store
from insula.serve.tokens import owner_of
from insula.serve.workers import Workers

__all__ = ["RETRY_SECONDS", "Mine", "Owner", "Service", "TheService", "gone", "problem"]

RETRY_SECONDS = 10
"""After which a sender who was turned away may try again."""


@dataclass
class Service:
    """One running service."""

    store: Store
    """Its folder, swept."""
    jobs: Jobs
    workers: Workers
    config: ServeConfig
    tokens: Sequence[TokenConfig]
    """Who may use it."""
    receiving: set[str] = field(default_factory=set)
    """Uploads that are on their way; they have no place in the queue yet."""
    audit: Audit = field(default_factory=lambda: Audit(None))
    """Told who did what."""

    def __post_init__(self) -> None:
        self.meter = Meter(self.jobs, self.workers)
        self.failures = Failures(self.config.failed_tokens)


def problem(status: int, what: str, rule: str, remedy: str, headers: dict[str, str] | None = None) -> HTTPException:
    """An answer that is no result, in the four parts of every refusal."""
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
    """The answer for a job that is not, or no longer, there."""
    return problem(404, "the job", "does not exist, or has expired", "send the scan again")


def _service(request: Request) -> Service:
    return request.app.state.service


TheService = Annotated[Service, Depends(_service)]
"""The one that the application serves."""


def _owner(request: Request, service: TheService, authorization: Annotated[str, Header()] = "") -> str:
    address = request.client.host if request.client else ""
    if authorization and (wait := service.failures.wait_seconds(address, authorization)):
        rule = f"was wrong {service.config.failed_tokens} times within a minute, from this address"
        raise problem(429, "the token", rule, f"wait {wait} seconds", {"Retry-After": str(wait)})
    owner = owner_of(authorization, service.tokens)
    if owner is None:
        if authorization:  # none at all is no guess
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
"""Whose token came with the request; 401 without, 429 after too many wrong ones."""


def _mine(id: str, request: Request, service: TheService, owner: Owner) -> Job:
    job = service.jobs.get(id, owner=owner)
    if job is None:  # the same answer for what is another's
        raise gone()
    request.state.job = job
    return job


Mine = Annotated[Job, Depends(_mine)]
"""The job in the address, if it is the caller's; 404 otherwise."""
