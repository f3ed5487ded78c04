"""A clock for ages that does not depend on the machine's wall clock.

Results are deleted by age, and a wall clock that is wrong by a day would make all of them old. Ages are therefore
measured by the system's counter of seconds since boot, which nobody sets. Its value is saved in the store, so that
ages continue when the service is restarted. The time between the last save and a reboot is known only to the wall
clock, and is not counted: results are kept for longer, never for less time.
"""

from __future__ import annotations

import platform
import sqlite3
import time
from pathlib import Path

__all__ = ["SCHEMA", "count_on", "elapsed"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS clock (
  one INTEGER PRIMARY KEY CHECK (one = 1), elapsed REAL NOT NULL, boot TEXT NOT NULL, counter REAL NOT NULL
) STRICT;
"""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def elapsed(db: sqlite3.Connection) -> float:
    """Returns the seconds counted since the store was created; 0 in a new store."""
    row = db.execute("SELECT elapsed, boot, counter FROM clock").fetchone()
    if row is None:
        return 0.0
    seconds, boot, counter = row
    return float(seconds) + (max(_counter() - counter, 0.0) if boot == _boot() else 0.0)


def count_on(db: sqlite3.Connection) -> None:
    """Save the elapsed time; when the machine stops, only the time since the last save is lost."""
    db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", (elapsed(db), _boot(), _counter()))


def _counter() -> float:
    """Returns the seconds since boot, including time asleep where the system reports it."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def _boot() -> str:
    """Returns an id of this boot of this machine; counters of different boots are not comparable."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()
