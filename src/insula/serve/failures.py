"""Wrong tokens, counted by network address: from where too many came, only tokens that were right before are heard."""

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
    """How often each address failed within the last minute.

    Args:
        most: failures that are let through in a minute.
        clock: seconds, never backwards.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock, self._lock = most, clock, threading.Lock()
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._right: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait_seconds(self, address: str, token: str) -> int:
        """How long an address has to wait until it may try a token; 0 if it need not [s].

        A token that was right before, from there, need not wait: who guesses keeps nobody out that shares the address.
        """
        network = _network(address)
        with self._lock:
            times = self._times.get(network)
            if times is None or len(times) < self._most or (network, _digest(token)) in self._right:
                return 0
            left = times[0] + _SECONDS - self._clock()
            return math.ceil(left) if left > 0 else 0

    def add(self, address: str) -> None:
        """Count a failure; those that failed longest ago are forgotten when there are too many addresses."""
        network = _network(address)
        with self._lock:
            self._times.setdefault(network, deque(maxlen=max(self._most, 1))).append(self._clock())
            self._times.move_to_end(network)
            while len(self._times) > _MOST_ADDRESSES:
                self._times.popitem(last=False)

    def right(self, address: str, token: str) -> None:
        """Remember a token that was right, as a hash and for as long as the service runs."""
        key = (_network(address), _digest(token))
        with self._lock:
            self._right[key] = None
            self._right.move_to_end(key)
            while len(self._right) > _MOST_ADDRESSES:
                self._right.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _network(address: str) -> str:
    """An IPv4 address; of IPv6 the 64 bits that one customer has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((found, 64), strict=False))
    return str(found)
