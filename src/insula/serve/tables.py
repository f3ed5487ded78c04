"""The tables of the job database, and how those of older stores are brought up to date."""

from __future__ import annotations

import sqlite3

from insula.serve.elapsed import SCHEMA, count_on, elapsed

__all__ = ["make_tables"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, key TEXT, upload_sha256 TEXT NOT NULL, options TEXT NOT NULL,
  bytes INTEGER NOT NULL, state TEXT NOT NULL, step TEXT NOT NULL, progress REAL NOT NULL, attempts INTEGER NOT NULL,
  worker TEXT, lease TEXT, error TEXT,
  created REAL NOT NULL, begun REAL, ended REAL, expires REAL NOT NULL, UNIQUE (owner, key)
) STRICT;
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, created);
"""
_ADDED = {
    "since": "REAL NOT NULL DEFAULT 0",
    "keep": "REAL NOT NULL DEFAULT 86400",
    "seconds": "REAL",
    "discarded_until": "REAL",
}
"""Columns that older stores lack, all in seconds.

`since` is when the state last changed, on the store's clock; `keep` is how long the job is kept from then on;
`seconds` is how long it ran; `discarded_until` is when a discarded job is deleted, on the store's clock.
"""


def make_tables(db: sqlite3.Connection) -> None:
    """Create the tables and columns that a database lacks.

    Args:
        db: a connection within a transaction.
    """
    for statement in (*_SCHEMA.split(";")[:-1], *SCHEMA.split(";")[:-1]):
        db.execute(statement)
    count_on(db)
    columns = {row["name"] for row in db.execute("PRAGMA table_info(jobs)")}
    missing = [name for name in _ADDED if name not in columns]
    for name in missing:
        db.execute(f"ALTER TABLE jobs ADD COLUMN {name} {_ADDED[name]}")
    if "since" in missing:
        # Only the wall clock knows the age of an older store's jobs: they are kept for their full time once more
        db.execute(
            "UPDATE jobs SET since = ?, keep = MAX(expires - created, 0), seconds = ended - begun", (elapsed(db),)
        )
