from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from insula.serve import Jobs


def test_a_store_of_an_older_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    db = sqlite3.connect(path)
    db.executescript("""
        CREATE TABLE jobs (
          id TEXT PRIMARY KEY, owner TEXT NOT NULL, key TEXT, upload_sha256 TEXT NOT NULL, options TEXT NOT NULL,
          bytes INTEGER NOT NULL, state TEXT NOT NULL, step TEXT NOT NULL, progress REAL NOT NULL,
          attempts INTEGER NOT NULL, worker TEXT, lease TEXT, error TEXT,
          created REAL NOT NULL, begun REAL, ended REAL, expires REAL NOT NULL, UNIQUE (owner, key)
        ) STRICT;
        INSERT INTO jobs VALUES
          ('a', 'one', NULL, 'ab', '{}', 1, 'done', 'done', 1, 1, 'w', NULL, NULL, 100, 110, 115, 3700),
          ('b', 'one', NULL, 'ab', '{}', 1, 'queued', 'waiting', 0, 0, NULL, NULL, NULL, 100, NULL, NULL, 50);
    """)
    db.close()
    jobs = Jobs(path)
    assert jobs.get("a").seconds == 5
    time.sleep(0.01)
    assert jobs.expired() == ["b"]
    assert jobs.take("w").id == "b"


def test_a_store_that_lacks_only_the_latest_column_keeps_its_ages(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    jobs = Jobs(path)
    jobs.add(owner="one", key=None, upload=("a", "ab", 1), options={}, keep_seconds=50)
    jobs.close()
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE jobs DROP COLUMN discarded_until")
    db.execute("UPDATE jobs SET since = -40, keep = 30")  # expired, although `expires` says otherwise
    db.commit()
    db.close()
    again = Jobs(path)
    assert again.expired() == ["a"]
    again.discard("a", seconds=10)
    assert again.of("one") == []
