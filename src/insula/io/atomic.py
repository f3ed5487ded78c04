"""Writes files atomically: after any failure the file has either its old or its new content."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from insula.errors import from_os_error

__all__ = ["TEMPORARY", "sync_folder", "write_bytes", "write_json", "write_text"]

TEMPORARY = ".insula-*.tmp"
"""Name pattern of unfinished files; `OutputFolder` removes them at the next start."""


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that readers see it complete or not at all.

    Writes a temporary file in the same folder, syncs it, renames it and syncs the folder. On failure an existing file
    is left untouched and the temporary file is removed. If the machine crashes, an existing file is left untouched and
    the temporary file stays until `OutputFolder` removes it.

    Args:
        path: final path of the file, in an existing folder.
        data: the complete content.

    Raises:
        CannotCreate: the disk is full, the folder does not exist, or the name is too long.
        NoPermission: writing is not permitted.
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
    """Write text in UTF-8 with `write_bytes`; characters that UTF-8 cannot encode become question marks."""
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_json(path: Path, tree: object) -> None:
    """Write JSON with `write_bytes`: keys in the given order, indented by two spaces, without NaN."""
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
    """Sync a folder to disk, so that files created, renamed or removed in it stay so."""
    if os.name == "nt":  # a folder cannot be opened there, and the rename is journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
