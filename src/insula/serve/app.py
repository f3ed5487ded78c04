"""The HTTP application: security headers, error responses and the audit of requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from insula.errors import (
    BadData,
    CannotCreate,
    InsulaError,
    IOFault,
    NoInput,
    NoPermission,
    TooLarge,
    Unavailable,
    UsageError,
    as_insula_error,
    from_os_error,
    place_of,
)
from insula.serve.masks import router as masks_router
from insula.serve.parts import PARTS
from insula.serve.protocol import MOST_HEAD_BYTES, announces_a_body, head_bytes, too_long
from insula.serve.routes import router
from insula.serve.service import RETRY_SECONDS, Service, problem
from insula.serve.study.routes import router as study_router
from insula.serve.upload import TooSlow, Unknown
from insula.serve.worker import error_body
from insula.types import VERSION

__all__ = ["create_app"]

_log = logging.getLogger(__name__)
_PAGE = Path(__file__).with_name("page")
_STATUS: tuple[tuple[type[InsulaError], int], ...] = (
    (TooSlow, 408),
    (TooLarge, 413),
    (Unknown, 415),
    (BadData, 400),
    (UsageError, 422),
    (NoInput, 404),
    (CannotCreate, 507),
    (NoPermission, 507),  # of the service, not of the caller: 403 would say that another token helps
    (IOFault, 503),
    (Unavailable, 503),
    (InsulaError, 500),
)
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; script-src 'self'; "
    "connect-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(
    service: Service, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None
) -> FastAPI:
    """Returns the application; the caller starts the workers.

    Args:
        service: the service to expose.
        lifespan: context manager that runs around the application's life; none if not given.
    """
    app = FastAPI(
        title="insula",
        version=VERSION,
        description="For research only; not a medical device.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
    )
    app.state.service = service
    app.middleware("http")(_measure_and_audit)
    app.add_exception_handler(InsulaError, _insula_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.include_router(router)
    app.include_router(masks_router)
    if service.study is not None:
        app.include_router(study_router)
    app.add_api_route("/", _page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE, check_dir=False))
    if service.config.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.config.origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Idempotency-Key", "If-Match"],
        )
    return app


async def _measure_and_audit(request: Request, forward: Callable[[Request], Awaitable[Response]]) -> Response:
    begun = time.perf_counter()
    with request.app.state.service.meter.request(request) as measurement:
        try:
            long = head_bytes(request) > MOST_HEAD_BYTES
            response = await (_http_error(request, too_long()) if long else forward(request))
        except Exception as error:
            _log.error("a request failed: %s", place_of(error))
            response = JSONResponse({"error": error_body(_without_text(error))}, 500)
        measurement.status = response.status_code
    if _to_be_audited(request, response.status_code):
        await asyncio.to_thread(_audit, request, response.status_code, 1000 * (time.perf_counter() - begun))
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if announces_a_body(request) and (response.status_code >= 400 or request.method not in ("POST", "PUT")):
        response.headers["Connection"] = "close"  # an unwanted body is not read to its end
    return response


def _without_text(error: Exception) -> InsulaError:
    """Returns a foreign exception as an error that quotes neither the upload nor the path of a file."""
    if isinstance(error, OSError):
        return from_os_error(error, what="a file of the service", value="", writing=False)
    return as_insula_error(error)


def _to_be_audited(request: Request, status: int) -> bool:
    """Returns whether a request is written to the audit log.

    That is every upload, download, deletion and refusal of a caller with a valid token, and every wrong token;
    polling a job's state is not.
    """
    state = request.state
    if not hasattr(state, "owner"):
        return hasattr(state, "guessed")
    route = getattr(request.scope.get("route"), "path", "")
    if route == "/metrics":
        return False
    if request.method in ("GET", "HEAD") and status < 400 and "/result" not in route:
        return hasattr(state, "audited") or (hasattr(state, "job") and state.job.state == "done")
    return True


def _audit(request: Request, status: int, ms: float) -> None:
    """Write a request to the audit log, by its route: a caller can write anything into the address."""
    state = request.state
    route = getattr(request.scope.get("route"), "path", "other")
    part = request.path_params.get("part", "")
    more = getattr(state, "audited", {}) | ({"part": part} if part in PARTS else {})
    request.app.state.service.audit.write(
        f"{request.method} {route}",
        who=getattr(state, "owner", ""),
        outcome=str(status),
        ms=ms,
        job=state.job.id if hasattr(state, "job") else "",
        address=request.client.host if request.client else "",
        **more,
    )


async def _insula_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, InsulaError)
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    headers = {"Retry-After": str(RETRY_SECONDS)} if status in (503, 507) else None
    return JSONResponse({"error": error_body(_for_callers(error))}, status, headers)


def _for_callers(error: InsulaError) -> InsulaError:
    """Returns an error of the service's disk without the path, and with a remedy that a caller has."""
    if isinstance(error, CannotCreate | NoPermission | IOFault):
        return error.without_value(remedy="tell whoever runs the service")
    return error


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.detail, str):  # raised by starlette: unknown address or method
        error = problem(
            error.status_code,
            "the request",
            f"is refused ({error.detail})",
            "see /v1/openapi.json",
            dict(error.headers or {}),
        )
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return await _http_error(
        request, problem(422, f"the parameter {name}", f"is refused ({first['msg']})", "see /v1/openapi.json")
    )


def _page() -> Response:
    return FileResponse(_PAGE / "index.html")
