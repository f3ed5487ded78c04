"""From settings to a service that answers, until it is told to stop."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from insula.config import ServeConfig, TokenConfig
from insula.errors import CannotCreate, UsageError
from insula.serve.app import create_app
from insula.serve.audit import Audit, watched_ends
from insula.serve.opened import opened
from insula.serve.protocol import MOST_HEAD_BYTES, timed_protocol
from insula.serve.service import Service
from insula.serve.tokens import expired, token_hash

__all__ = ["serve"]

_BACKLOG, _MOST_CONNECTIONS = 256, 1000
_GRACE_SECONDS = 5
_SHORTEST_TOKEN = 16


def serve(folder: Path, config: ServeConfig, *, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Run the service until SIGINT or SIGTERM; jobs that were running then are queued for the next start.

    Args:
        folder: jobs and results; one service at a time.
        config: model, devices, limits, tokens.
        host: an address of this machine; only on loopback is there a token of its own making.
        port: 0 takes a free one.
        announce: is given the page's address, with the token if it was made here.

    Raises:
        UsageError: a bad token entry, or no token where others could call.
        CannotCreate: another service has the folder, or another program the port.
        InsulaError: the audit file cannot be written.
    """
    tokens, shown = _tokens(config, host)
    audit = Audit(Path(config.audit) if config.audit else None)
    with opened(folder, config) as (store, jobs, workers), watched_ends(jobs, audit):

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            workers.start()
            try:
                yield
            finally:
                workers.stop()

        app = create_app(Service(store, jobs, workers, config, tokens, audit=audit), lifespan)
        settings = uvicorn.Config(
            app,
            host=host,
            port=port,
            access_log=False,
            log_level="warning",
            server_header=False,
            backlog=_BACKLOG,
            http=timed_protocol(config.header_seconds),
            timeout_keep_alive=15,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        )
        listening = _listen(host, port)
        try:
            announce(f"http://{_named(host)}:{listening.getsockname()[1]}/" + (f"#token={shown}" if shown else ""))
            uvicorn.Server(settings).run([listening])
        finally:
            listening.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
        )
    except OSError as error:
        rule = f"cannot be listened at ({error.strerror or error})"
        raise CannotCreate("the address", f"{host}:{port}", rule, "choose another --port or --host") from None


def _tokens(config: ServeConfig, host: str) -> tuple[Sequence[TokenConfig], str | None]:
    """Who may come in, and the token to be shown, if it was made here."""
    for one in config.tokens:
        if len(one.sha256) != 64 or set(one.sha256.lower()) - set("0123456789abcdef"):
            raise UsageError(
                "the token of", one.owner, "has no SHA-256 in hexadecimal", "make one with: insula token OWNER"
            )
        try:
            date.fromisoformat(one.expires or "2000-01-01")
        except ValueError:
            raise UsageError("the token of", one.owner, "expires on no date", "write e.g. 2027-01-31") from None
    if config.tokens:
        if all(expired(one) for one in config.tokens):
            raise UsageError("the tokens", "", "have all expired", "make a new one with: insula token OWNER")
        return config.tokens, None
    given = os.environ.get("INSULA_TOKEN")
    if not given and not _loopback(host):
        rule = "can be reached from other machines, and no token is set"
        raise UsageError("--host", host, rule, "set INSULA_TOKEN, or name tokens in --settings")
    if given and len(given) < _SHORTEST_TOKEN and not _loopback(host):
        rule = f"is shorter than {_SHORTEST_TOKEN} characters, and others can call"
        raise UsageError("INSULA_TOKEN", "", rule, "make one with: insula token OWNER")
    token = given or secrets.token_urlsafe(24)
    return (TokenConfig(owner="local", sha256=token_hash(token)),), None if given else token


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host
