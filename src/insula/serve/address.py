"""The address that an HTTP server listens on."""

from __future__ import annotations

import socket

from insula.errors import CannotCreate

__all__ = ["BACKLOG", "http_address", "listen"]

BACKLOG = 256
"""Most connections that wait to be accepted."""


def listen(host: str, port: int) -> socket.socket:
    """Open a port.

    Args:
        host: address of this machine, IPv4 or IPv6.
        port: port; 0 picks a free one.

    Raises:
        CannotCreate: the address does not exist here, or another program uses the port.
    """
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        rule = f"cannot be opened for listening ({error.strerror or error})"
        raise CannotCreate("the address", f"{host}:{port}", rule, "choose another `port` or `host`") from None


def http_address(host: str, listening: socket.socket) -> str:
    """Return the URL of a server.

    Args:
        host: the host it was opened with.
        listening: its open port.
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
