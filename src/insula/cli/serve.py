"""`insula serve` and `insula token`: run the HTTP service with its web page, and make tokens for it."""

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
    study: Path | None = None,
    scans: tuple[str, ...] = (),
    open: bool = False,
    debug: bool = False,
) -> int:
    """Run a web page and an HTTP interface: upload a scan, get a job, download its results.

    Only this machine can reach the service unless --host is changed, and every call but /health needs the token that is
    printed at the start. Accepted jobs survive a restart, even if the service is killed. The interface is described at
    /v1/openapi.json. For research only; not a medical device.

    Args:
        store: Folder for jobs and results.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free port.
        weights: Bundled weights by name, or your own file or folder.
        settings: TOML file with limits and tokens.
        set: Override one setting, e.g. --set keep_hours=2; repeatable.
        audit: Log file with one JSON line for every action: time, caller, job, outcome, milliseconds.
        study: Folder that insula segment or insula-bids wrote, to review and correct it in the browser, also by several
            raters.
        scans: Scans of that study: files, folders or patterns; needed to see and correct its masks, unless insula-bids
            wrote it and its BIDS dataset is where it was.
        open: Open the page in the browser.
        debug: Show a traceback on errors.
    """
    check_door("the service", packages=("fastapi", "uvicorn", "prometheus_client"), extras="serve", port=port)

    from insula.config import ServeConfig, load_knobs
    from insula.errors import UsageError
    from insula.io.participants import first_few
    from insula.serve.run import serve as run

    chosen = (*set, f"model={weights}") if weights is not None else set
    config = load_knobs(ServeConfig, settings, chosen, what="the settings")
    if audit is not None:
        config = replace(config, audit=str(audit))

    if scans and study is None:
        raise UsageError("`scans`", first_few(list(scans)), "are of no study", "name its folder with `study`")

    def announce(address: str) -> None:
        print(address, flush=True)
        if open:
            import webbrowser

            webbrowser.open(address)

    with until_stopped():
        run(
            store,
            config,
            host=host,
            port=port,
            announce=announce,
            study=None if study is None else (study, scans),
        )
    return 0


def token(owner: Positional[str], /, days: int = 365, debug: bool = False) -> int:
    """Make a token for `insula serve`: the first line is the token, the other lines belong in the --settings file.

    Args:
        owner: Owner of the jobs, e.g. ward-3; not a person's name.
        days: Days until the token expires.
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

    secret = secrets.token_urlsafe(24)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    expires = (datetime.now(UTC) + timedelta(days=days)).date()
    print(secret)
    print(f'[[tokens]]\nowner = "{owner}"\nsha256 = "{digest}"\nexpires = "{expires}"')
    return 0
