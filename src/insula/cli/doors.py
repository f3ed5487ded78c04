"""Checks and shutdown shared by the commands that run a network service."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["check_door", "until_stopped"]


def check_door(what: str, *, packages: Sequence[str], extras: str, port: int) -> None:
    """Check that a service can start.

    Args:
        what: the service, for the message.
        packages: names of the packages it imports.
        extras: extras of insula that install them.
        port: the port to listen on.

    Raises:
        Unavailable: a package is not installed.
        UsageError: the port number is out of range.
    """
    from insula.errors import Unavailable, UsageError

    if any(importlib.util.find_spec(name) is None for name in packages):
        raise Unavailable(what, "", "needs packages that are not installed", f"run: pip install 'insula[{extras}]'")
    if not 0 <= port <= 65535:
        raise UsageError("--port", port, "is not from 0 to 65535", "use e.g. 8080")


@contextmanager
def until_stopped(message: str = "stopped; waiting jobs continue at the next start") -> Iterator[None]:
    """End a service without an error when it is interrupted.

    Args:
        message: printed then.
    """
    from insula.errors import Interrupted

    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        print(message, flush=True)
