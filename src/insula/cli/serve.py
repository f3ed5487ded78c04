"""`insula serve` and `insula token`: the HTTP service and its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from insula.cli.doors import check_door, until_stopped

__all__ = ["serve", "token"]


def serve(
    store: Path = Path("insula-service"),
    host: str = "127.0.0.1",
    port: int = 8080,
    weights: Annotated[str | None, arg(aliases=("--model",))] = None,
    settings: Path | None = None,
    set: UseAppendAction[tuple[str, ...]] = (),
    audit: Path | None = None,
    open: bool = False,
    debug: bool = False,
) -> int:
    """Serve a page for browsers and an HTTP interface: upload a scan, get a job, get its results.

    Only this machine can call it unless --host says otherwise, and only with the token that is printed. Jobs outlive whatever is
    killed. The interface describes itself at /v1/openapi.json. For research only; not a medical device.

    Args:
        store: Folder of jobs and results.
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.
        weights: Bundled weights by name, or a folder or file of your own.
        settings: A TOML file of limits and tokens.
        set: One of them, e.g. --set keep_hours=2; repeatable.
        audit: File to which a line of JSON is added for whatever is done: time, who, job, outcome, milliseconds.
        open: Show the page in the browser.
        debug: Show a traceback on errors.
    """
    check_door("the service", packages=("fastapi", "uvicorn", "prometheus_client"), extras="serve", port=port)

    from insula.config import ServeConfig, load_knobs
    from insula.serve.run import serve as run

    chosen = (*set, f"model={weights}") if weights is not None else set
    config = load_knobs(ServeConfig, settings, chosen, what="the settings")
    if audit is not None:
        config = replace(config, audit=str(audit))

    def announce(address: str) -> None:
        print(address, flush=True)
        if open:
            import webbrowser

            webbrowser.open(address)

    with until_stopped():
        run(store, config, host=host, port=port, announce=announce)
    return 0


def token(owner: Positional[str], /, days: int = 365, debug: bool = False) -> int:
    """Make a token for the service: the first line is the token, the rest goes into the --settings file.

    Args:
        owner: Whose jobs these will be; no person's name.
        days: How long it is valid.
        debug: Show a traceback on errors.
    """
    import secrets
    from datetime import UTC, datetime, timedelta

    from insula.errors import UsageError

    if not owner.isidentifier() and not owner.replace("-", "").replace("_", "").isalnum():
        raise UsageError("the owner", owner, "is not made of letters, digits, - and _", "use e.g. ward-3")
    if not 1 <= days <= 36_500:
        raise UsageError("--days", days, "is less than a day or more than a century", "use e.g. 365")
    import hashlib

    made = secrets.token_urlsafe(24)
    expires = (datetime.now(UTC) + timedelta(days=days)).date()
    print(made)
    print(
        f'[[tokens]]\nowner = "{owner}"\nsha256 = "{hashlib.sha256(made.encode()).hexdigest()}"\nexpires = "{expires}"'
    )
    return 0
