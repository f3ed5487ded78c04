"""Wrong tokens, counted by network address: who sends too many has to wait."""

from __future__ import annotations

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

    def wait_seconds(self, address: str) -> int:
        """How long an address has to wait until it may try again; 0 if it need not [s]."""
        with self._lock:
            times = self._times.get(_network(address))
            if times is None or len(times) < self._most:
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
