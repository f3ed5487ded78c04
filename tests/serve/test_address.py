"""A port is opened or the reason is given; an IPv6 address has brackets."""

from __future__ import annotations

import pytest

from insula.errors import CannotCreate
from insula.serve.address import http_address, listen


def test_a_free_port_is_picked_once() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert http_address("127.0.0.1", first) == f"http://127.0.0.1:{port}/"
        with pytest.raises(CannotCreate, match=f"127.0.0.1:{port} cannot be opened"):
            listen("127.0.0.1", port)
        assert http_address("::1", first) == f"http://[::1]:{port}/"


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CannotCreate, match="192.0.2.1:0 cannot be opened"):
        listen("192.0.2.1", 0)
