"""Files that are either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from insula.errors import from_os_error

__all__ = ["TEMPORARY", "sync_folder", "write_bytes", "write_json", "write_text"]

TEMPORARY = ".insula-*.tmp"
"""What unfinished files are called; `OutputFolder` sweeps them at the next start."""


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader sees it whole or not at all.

    A temporary file in the same folder, fsync, rename, fsync of the folder. If anything fails the old file, if there
    was one, is untouched and the temporary file is gone; if the machine dies the old file is untouched and the
    temporary file waits for the next sweep.

    Args:
        path: the final name; its folder exists.
        data: all of it.

    Raises:
        CannotCreate: no room, no such folder, a name too long.
        NoPermission: not allowed.
        IOFault: the disk failed.
    """
    temporary = path.parent / f".insula-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        _write_whole(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise from_os_error(error, what="the output file", value=path.name, writing=True) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8 by `write_bytes`; what is no text, as in a name from a disk of another encoding, is a question mark."""
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_json(path: Path, tree: Any) -> None:
    """As `write_bytes`: sorted as given, two spaces, no NaN."""
    write_text(path, json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write_whole(path: Path, data: bytes | memoryview) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest[: 1 << 22]) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Have the disk keep what was made, renamed or removed in a folder."""
    if os.name == "nt":  # a folder cannot be opened there, and the rename is journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
