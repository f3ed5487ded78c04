"""The HTTP application: who may come in, how a refusal reads, what every answer carries."""

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

import insula
from insula.errors import (
    BadData,
    CannotCreate,
    InsulaError,
    IOFault,
    NoInput,
    TooLarge,
    Unavailable,
    UsageError,
    as_insula_error,
)
from insula.serve.parts import PARTS
from insula.serve.protocol import MOST_HEAD_BYTES, announces_a_body, head_bytes, too_long
from insula.serve.routes import router
from insula.serve.service import RETRY_SECONDS, Service, problem
from insula.serve.upload import TooSlow, Unknown
from insula.serve.worker import told

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
    """The application; whoever runs it starts the workers.

    Args:
        service: what it serves.
        lifespan: what runs around it.
    """
    app = FastAPI(
        title="insula",
        version=insula.__version__,
        description="For research only; not a medical device.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
    )
    app.state.service = service
    app.middleware("http")(_around)
    app.add_exception_handler(InsulaError, _refused)
    app.add_exception_handler(HTTPException, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.include_router(router)
    app.add_api_route("/", _page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE, check_dir=False))
    if service.config.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.config.origins),
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["Authorization", "Idempotency-Key"],
        )
    return app


async def _around(request: Request, forward: Callable[[Request], Awaitable[Response]]) -> Response:
    begun = time.perf_counter()
    with request.app.state.service.meter.request(request) as seen:
        try:
            long = head_bytes(request.scope) > MOST_HEAD_BYTES
            response = await (_known(request, too_long()) if long else forward(request))
        except Exception as error:
            _log.error("an answer failed: %s", as_insula_error(error))  # never the text of a foreign exception
            response = JSONResponse({"error": told(as_insula_error(error))}, 500)
        seen.status = response.status_code
    if _to_be_audited(request, response.status_code):
        await asyncio.to_thread(_audit, request, response.status_code, 1000 * (time.perf_counter() - begun))
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if announces_a_body(request.scope) and (response.status_code >= 400 or request.method != "POST"):
        response.headers["Connection"] = "close"  # what nobody wants is not read to its end
    return response


def _to_be_audited(request: Request, status: int) -> bool:
    """What a caller with a token sent, took, deleted or was refused, and every wrong token; not looking how far a job is."""
    state = request.state
    if not hasattr(state, "owner"):
        return hasattr(state, "guessed")
    route = getattr(request.scope.get("route"), "path", "")
    if route == "/metrics":
        return False
    if request.method in ("GET", "HEAD") and status < 400 and "/result" not in route:
        return hasattr(state, "job") and state.job.state == "done"
    return True


def _audit(request: Request, status: int, ms: float) -> None:
    """The route and not the address, in which a caller can write anything."""
    state = request.state
    route = getattr(request.scope.get("route"), "path", "other")
    part = request.path_params.get("part", "")
    more = {"part": part} if part in PARTS else {}
    request.app.state.service.audit.write(
        f"{request.method} {route}",
        who=getattr(state, "owner", ""),
        outcome=str(status),
        ms=ms,
        job=state.job.id if hasattr(state, "job") else "",
        address=request.client.host if request.client else "",
        **more,
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, InsulaError)
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    later = {"Retry-After": str(RETRY_SECONDS)} if status in (503, 507) else None
    return JSONResponse({"error": told(error)}, status, later)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.detail, str):  # starlette's own: no such address, no such method
        error = problem(
            error.status_code,
            "the request",
            f"is refused ({error.detail})",
            "see /v1/openapi.json",
            dict(error.headers or {}),
        )
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return await _known(
        request, problem(422, f"the parameter {name}", f"is refused ({first['msg']})", "see /v1/openapi.json")
    )


def _page() -> Response:
    return FileResponse(_PAGE / "index.html")
