"""Reads all bytes of a file, with retries for transient disk errors."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from insula.errors import BadData, UsageError, from_os_error

__all__ = ["FileBytes", "file_state", "read_file", "read_head"]

T = TypeVar("T")
_PASSING = {errno.EIO, errno.ESTALE, errno.EAGAIN}
_TRIES = 3


@dataclass(frozen=True)
class FileBytes:
    """A file's content and its state when it was read."""

    data: bytes
    sha256: str
    modified_ns: int


def read_head(path: Path, count: int) -> bytes:
    """Read the first `count` bytes, or fewer if the file is shorter.

    Raises:
        NoInput, NoPermission, IOFault: the operating system could not read it; transient errors after three tries.
        UsageError: the path is a folder or a device.
        BadData: the file is empty.
    """

    def read() -> bytes:
        _check_kind(os.stat(path))
        with open(path, "rb") as file:
            return file.read(count)

    return _patiently(path, read)


def read_file(path: Path) -> FileBytes:
    """Read all bytes; raises as `read_head` does, and BadData if the file changed while it was read."""

    def read() -> FileBytes:
        before = os.stat(path)
        _check_kind(before)
        with open(path, "rb") as file:
            data = file.read()
        after = os.stat(path)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
            raise BadData(
                "the file",
                f"of {len(data)} bytes",
                "changed while it was read",
                "wait until it is complete and run again",
            )
        return FileBytes(data, hashlib.sha256(data).hexdigest(), after.st_mtime_ns)

    return _patiently(path, read)


def file_state(path: Path) -> tuple[int, int]:
    """Return (size in bytes, modification time [ns])."""
    state = _patiently(path, lambda: os.stat(path))
    return state.st_size, state.st_mtime_ns


def _check_kind(state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise UsageError(
            "the input", "", "is a folder", "name a file, or give the folder to insula segment, which looks inside"
        )
    if not stat.S_ISREG(state.st_mode):
        raise UsageError("the input", "", "is not a regular file", "copy it to a file first")
    if state.st_size == 0:
        raise BadData("the file", "of 0 bytes", "is empty", "copy or download it again")


def _patiently(path: Path, action: Callable[[], T]) -> T:
    for attempt in range(_TRIES):
        try:
            return action()
        except OSError as error:
            if error.errno not in _PASSING or attempt == _TRIES - 1:
                raise from_os_error(error, what="the input", value=path.name, writing=False) from error
            time.sleep(0.1 * 4**attempt)
    raise AssertionError("unreachable")
