"""A file is read whole, or the reason why not is given."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from insula.errors import BadData, IOFault, UsageError
from insula.io import bytes as bytes_module
from insula.io.bytes import file_state, read_file, read_head


def test_all_bytes_with_their_hash_and_their_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    os.utime(path, ns=(1, 12345))
    file = read_file(path)
    assert (file.data, file.modified_ns) == (b"content", 12345)
    assert file.sha256 == hashlib.sha256(b"content").hexdigest()
    assert file_state(path) == (7, 12345)
    assert [read_head(path, count) for count in (3, 99)] == [b"con", b"content"]


def test_folders_pipes_and_empty_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for read in (read_file, lambda path: read_head(path, 4)):
        with pytest.raises(UsageError, match="is a folder"):
            read(tmp_path)
        with pytest.raises(UsageError, match="is not a regular file"):
            read(tmp_path / "pipe")
        with pytest.raises(BadData, match="of 0 bytes is empty"):
            read(tmp_path / "empty")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    real, calls = os.stat, [0]

    def stat(*arguments: object, **options: object) -> os.stat_result:
        calls[0] += 1
        if calls[0] == 2:
            path.write_bytes(b"more content")
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(BadData, match="of 7 bytes changed while it was read"):
        read_file(path)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EAGAIN])
def test_a_passing_fault_is_tried_three_times(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    waits: list[float] = []
    monkeypatch.setattr(bytes_module.time, "sleep", waits.append)
    real, left = os.stat, [0]

    def stat(*arguments: object, **options: object) -> os.stat_result:
        if left[0]:
            left[0] -= 1
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    left[0] = 2
    assert file_state(path)[0] == 7
    assert waits == pytest.approx([0.1, 0.4])
    left[0] = 3
    with pytest.raises(IOFault):
        file_state(path)
