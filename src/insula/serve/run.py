"""Run the service from its settings until it is stopped."""

from __future__ import annotations

import ipaddress
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from datetime import date
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from insula.config import ServeConfig, TokenConfig
from insula.errors import UsageError
from insula.serve.address import BACKLOG, http_address, listen
from insula.serve.app import create_app
from insula.serve.audit import Audit, watched_ends
from insula.serve.opened import opened
from insula.serve.protocol import MOST_HEAD_BYTES, timed_protocol
from insula.serve.service import Service
from insula.serve.store import JobStore
from insula.serve.study import StudyFolder
from insula.serve.tokens import expired, token_hash

__all__ = ["serve"]

_MOST_CONNECTIONS = 1000
_GRACE_SECONDS = 5
_SHORTEST_TOKEN = 16


def serve(
    folder: Path,
    config: ServeConfig,
    *,
    host: str,
    port: int,
    announce: Callable[[str], None],
    study: tuple[Path, Sequence[str]] | None = None,
) -> None:
    """Run the service until SIGINT or SIGTERM; jobs still running then are queued for the next start.

    Args:
        folder: folder of the jobs and results; one service at a time can use it.
        config: model, devices, limits and tokens.
        host: address of this machine to listen on; a token is generated only on loopback.
        port: port to listen on; 0 picks a free one.
        announce: called with the page's address, which includes the token if it was generated.
        study: a folder of results to show and correct, and the scans that were segmented; None for none. A BIDS
            derivative needs no scans if its dataset is where it was.

    Raises:
        NoInput: `study` is no folder of results, or there are no scans.
        UsageError: a token entry is invalid, or no token is set although other machines can connect.
        CannotCreate: another service uses the folder, or another program the port.
        InsulaError: the audit file cannot be written.
    """
    tokens, generated = _tokens(config, host)
    audit = Audit(Path(config.audit) if config.audit else None)
    views = JobStore(folder.resolve()).temporary("study")
    shown = StudyFolder(study[0], study[1], views=views) if study is not None else None
    with (
        opened(folder, config) as (store, jobs, workers),
        _temporary_files_in(store.temporary("service")),
        closing(shown) if shown else nullcontext(),
        watched_ends(jobs, audit),
    ):

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            workers.start()
            try:
                yield
            finally:
                workers.stop()

        app = create_app(Service(store, jobs, workers, config, tokens, audit=audit, study=shown), lifespan)
        settings = uvicorn.Config(
            app,
            host=host,
            port=port,
            access_log=False,
            log_level="warning",
            server_header=False,
            backlog=BACKLOG,
            http=timed_protocol(config.header_seconds),
            timeout_keep_alive=15,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        )
        listening = listen(host, port)
        try:
            page = http_address(host, listening) + ("study/" if shown else "")
            announce(page + (f"#token={generated}" if generated else ""))
            uvicorn.Server(settings).run([listening])
        finally:
            listening.close()


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let this process unpack DICOM archives in a folder that is swept at the next start, not in the machine's own."""
    folder.mkdir(parents=True, exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _tokens(config: ServeConfig, host: str) -> tuple[Sequence[TokenConfig], str | None]:
    """Returns the valid tokens, and the generated token if there was none in the settings or the environment."""
    for entry in config.tokens:
        if len(entry.sha256) != 64 or set(entry.sha256.lower()) - set("0123456789abcdef"):
            raise UsageError(
                "the token of", entry.owner, "has no valid hexadecimal SHA-256", "make one with: insula token OWNER"
            )
        try:
            date.fromisoformat(entry.expires or "2000-01-01")
        except ValueError:
            raise UsageError(
                "the token of", entry.owner, "has an invalid expiry date", "write e.g. 2027-01-31"
            ) from None
    if config.tokens:
        if all(expired(token) for token in config.tokens):
            raise UsageError("the tokens", "", "have all expired", "make a new one with: insula token OWNER")
        return config.tokens, None
    env_token = os.environ.get("INSULA_TOKEN")
    if not env_token and not _loopback(host):
        rule = "can be reached from other machines, but no token is set"
        raise UsageError("`host`", host, rule, "set INSULA_TOKEN, or name tokens in `settings`")
    if env_token and len(env_token) < _SHORTEST_TOKEN and not _loopback(host):
        rule = f"is shorter than {_SHORTEST_TOKEN} characters, but other machines can connect"
        raise UsageError("INSULA_TOKEN", "", rule, "make one with: insula token OWNER")
    token = env_token or secrets.token_urlsafe(24)
    return (TokenConfig(owner="local", sha256=token_hash(token)),), None if env_token else token


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
