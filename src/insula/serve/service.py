"""The state of a running service, and the access checks that its routes depend on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Request
from fastapi.routing import APIRoute

from insula.config import ServeConfig, TokenConfig
from insula.serve.audit import Audit
from insula.serve.failures import Failures
from insula.serve.jobs import Job, Jobs
from insula.serve.meter import Meter
from insula.serve.store import JobStore
from insula.serve.tokens import owner_of
from insula.serve.workers import Workers

if TYPE_CHECKING:
    from insula.serve.study import StudyFolder

__all__ = [
    "OwnJob",
    "Owner",
    "RETRY_SECONDS",
    "Service",
    "TheService",
    "answer_head",
    "caller",
    "gone",
    "problem",
    "service_of",
]

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
    study: StudyFolder | None = None
    """A folder of results to show and correct; None for none."""
    correcting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a corrected mask is measured: one at a time, since each takes a processor and memory."""

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


def service_of(request: Request) -> Service:
    """Returns the service that takes a request."""
    return request.app.state.service


TheService = Annotated[Service, Depends(service_of)]
"""The service that the application exposes."""


def caller(request: Request, service: TheService, authorization: Annotated[str, Header()] = "") -> str:
    """Returns the owner of a request's token.

    Raises:
        HTTPException: 401 without a valid token, 429 after too many wrong ones.
    """
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


Owner = Annotated[str, Depends(caller)]
"""Owner of the request's token; 401 without a valid token, 429 after too many wrong ones."""


def _callers_job(id: str, request: Request, service: TheService, owner: Owner) -> Job:
    job = service.jobs.get(id, owner=owner)
    if job is None:  # another owner's job gets the same response
        raise gone()
    request.state.job = job
    return job


OwnJob = Annotated[Job, Depends(_callers_job)]
"""The job in the address if it belongs to the caller; 404 otherwise."""


def answer_head(router: APIRouter) -> None:
    """Answer HEAD wherever a router answers GET; uvicorn leaves out the body.

    Args:
        router: its routes are complete.
    """
    get_routes = [route for route in router.routes if isinstance(route, APIRoute) and "GET" in (route.methods or ())]
    for route in get_routes:
        router.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
