"""Access to a served study from a browser: pages by a cookie that a token was exchanged for, changes by the token.

A browser sends no token when it opens a page or follows a link, hence the cookie. It allows only to read, so that a
page of another origin that makes the browser send it can change nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Depends, Header, Request, Response

from insula.serve.service import Service, TheService, caller, problem
from insula.serve.tokens import expired

__all__ = ["Reader", "admit"]

_KEY = secrets.token_bytes(32)  # a new one at each start: the page exchanges its token again, unseen
_SECONDS = 12 * 3600


def admit(response: Response, request: Request, service: Service, owner: str) -> None:
    """Set the cookie with which a browser may read the study for twelve hours.

    Without a path of its own it is sent only to addresses below the present one, also behind a proxy with a prefix.

    Args:
        response: the response that carries it.
        request: the request with the token.
        service: the service.
        owner: of the token.
    """
    until = f"{quote(owner, safe='')}.{int(time.time()) + _SECONDS}"
    response.set_cookie(
        _cookie(service),
        f"{until}.{_signature(until)}",
        path=None,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def _reader(request: Request, service: TheService, authorization: Annotated[str, Header()] = "") -> str:
    owner = _admitted(request.cookies.get(_cookie(service), ""), service)
    if authorization or owner is None:
        if not authorization and "text/html" in request.headers.get("accept", ""):
            depth = request.scope["path"].partition("/study/")[2].count("/")
            where = {"Location": f"{'../' * depth}enter"}
            raise problem(303, "the page", "needs an access token", "enter it", where)
        return caller(request, service, authorization)
    request.state.owner = owner
    return owner


Reader = Annotated[str, Depends(_reader)]
"""Owner of the token or the cookie of a request that only reads; a browser without either is sent to the entrance."""


def _admitted(cookie: str, service: Service) -> str | None:
    until, _, signature = cookie.rpartition(".")
    owner, _, end = until.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(until).encode()) or time.time() > float(end):
        return None
    owner = unquote(owner)
    valid = any(token.owner == owner and not expired(token) for token in service.tokens)
    return owner if valid else None


def _cookie(service: Service) -> str:
    """Return the cookie's name: browsers do not keep the cookies of two services on one machine apart."""
    return "insula-" + hashlib.sha256(str(service.store.path).encode()).hexdigest()[:12]


def _signature(text: str) -> str:
    return hmac.new(_KEY, text.encode(), "sha256").hexdigest()
