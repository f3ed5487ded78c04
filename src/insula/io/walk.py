"""Walks folders in sorted order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["walk"]


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield (path, folders, files) for a folder and all its subfolders, sorted.

    Linked folders are followed, each folder only once; hidden files and folders are skipped.

    Args:
        folder: an existing folder.
    """
    visited: set[str] = set()
    for base, folders, files in os.walk(folder, followlinks=True):
        resolved = os.path.realpath(base)
        if resolved in visited:
            folders.clear()
            continue
        visited.add(resolved)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield base, folders, sorted(name for name in files if not name.startswith("."))
