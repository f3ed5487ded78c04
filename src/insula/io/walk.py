"""Folders and what lies in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["walk"]


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """A folder and all in it, sorted: path, folders, files. Linked folders are entered too, each folder once; hidden files and
    folders are left out.

    Args:
        folder: exists.
    """
    seen: set[str] = set()
    for base, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(base)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield base, folders, sorted(name for name in files if not name.startswith("."))
