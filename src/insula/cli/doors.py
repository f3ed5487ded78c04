"""What the commands share that open a door and stay."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["check_door", "until_stopped"]


def check_door(what: str, *, packages: Sequence[str], extras: str, port: int) -> None:
    """Refuse to open one that cannot be opened.

    Raises:
        Unavailable: a package is not installed.
        UsageError: the port is none.
    """
    from insula.errors import Unavailable, UsageError

    if any(importlib.util.find_spec(name) is None for name in packages):
        raise Unavailable(what, "", "needs packages that are not installed", f"run: pip install 'insula[{extras}]'")
    if not 0 <= port <= 65535:
        raise UsageError("--port", port, "is not from 0 to 65535", "use e.g. 8080")


@contextmanager
def until_stopped() -> Iterator[None]:
    """Being told to stop is how a service ends."""
    from insula.errors import Interrupted

    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        print("stopped; what waits goes on at the next start", flush=True)
