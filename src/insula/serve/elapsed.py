"""How long ago something was, whatever is done to the machine's clock.

Results are deleted by age, and a wall clock that is wrong by a day would make everything old. Ages are counted by the system's own counter of seconds
since it was started, which nobody sets. What it has counted is kept in the store, so that ages go on from one start of the service to the next. Of the time
between the last look and a restart of the machine nothing is known but what the wall clock says, and it is not counted: things are kept for longer, never
for less long.
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
    """Seconds that the store has counted since it was made; 0 in a new one."""
    row = db.execute("SELECT elapsed, boot, counter FROM clock").fetchone()
    if row is None:
        return 0.0
    seconds, boot, counter = row
    return float(seconds) + (max(_counter() - counter, 0.0) if boot == _boot() else 0.0)


def count_on(db: sqlite3.Connection) -> None:
    """Keep what has been counted; a machine that stops takes with it only what it counted after that."""
    db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", (elapsed(db), _boot(), _counter()))


def _counter() -> float:
    """Seconds since the machine was started, with the time that it slept where the system says that."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def _boot() -> str:
    """Which start of which machine; a counter says nothing about another's."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()
