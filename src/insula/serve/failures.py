"""Rate limit for wrong tokens: an address that sent too many may only use tokens that were right before."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

__all__ = ["Failures"]

_MOST_ADDRESSES = 10_000
_SECONDS = 60.0


class Failures:
    """The wrong tokens of each network address within the last minute.

    Args:
        most: number of wrong tokens allowed in a minute.
        clock: monotonic clock [s].
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock, self._lock = most, clock, threading.Lock()
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._right: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait_seconds(self, address: str, token: str) -> int:
        """Returns how long an address must wait before it may try a token [s]; 0 if it may at once.

        A token that was right before, from the same address, need not wait, so that somebody who guesses tokens does
        not lock out others at that address.
        """
        network = _network(address)
        with self._lock:
            times = self._times.get(network)
            if times is None or len(times) < self._most or (network, _digest(token)) in self._right:
                return 0
            left = times[0] + _SECONDS - self._clock()
            return math.ceil(left) if left > 0 else 0

    def add(self, address: str) -> None:
        """Count a wrong token; if there are too many addresses, the one whose last failure is oldest is forgotten."""
        network = _network(address)
        with self._lock:
            self._times.setdefault(network, deque(maxlen=max(self._most, 1))).append(self._clock())
            self._times.move_to_end(network)
            while len(self._times) > _MOST_ADDRESSES:
                self._times.popitem(last=False)

    def right(self, address: str, token: str) -> None:
        """Remember a token that was right, as a hash and until the service stops."""
        key = (_network(address), _digest(token))
        with self._lock:
            self._right[key] = None
            self._right.move_to_end(key)
            while len(self._right) > _MOST_ADDRESSES:
                self._right.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _network(address: str) -> str:
    """Returns an IPv4 address, or an IPv6 address's 64-bit network, which is what one customer has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)
