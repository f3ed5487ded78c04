"""Old or new, never mixed: under faults at every system call, and under kill -9 at any moment."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from insula.errors import InsulaError
from insula.io import OutputFolder, write_bytes
from insula.io.atomic import sync_folder, write_json, write_text
from io_writers import WRITERS

_CALLS = ("open", "write", "fsync", "replace")
_KILLS = 200


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, 73), (errno.EDQUOT, 73), (errno.EIO, 74), (errno.EACCES, 77), (errno.EROFS, 73)]
)
def test_a_fault_at_the_nth_call_leaves_the_old_file(
    name: str, number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every open, write, fsync and rename fails once, in turn, until a run meets no fault."""
    target, write = WRITERS[name]
    versions = []
    for n in (2, 1):
        write(tmp_path, n)
        versions.append((tmp_path / target).read_bytes())
    for nth in range(1, 100):
        _fail_at(nth, number, monkeypatch)
        try:
            write(tmp_path, 2)
        except InsulaError as error:
            assert error.code == code
            assert (tmp_path / target).read_bytes() in versions
            assert not list(tmp_path.glob(".insula-*.tmp"))
            monkeypatch.undo()
            write(tmp_path, 1)
        else:
            assert nth > len(_CALLS)
            assert (tmp_path / target).read_bytes() == versions[0]
            return
    pytest.fail("the write never went through")


def _fail_at(nth: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    seen = [0]
    for call in _CALLS:
        real = getattr(os, call)

        def wrapped(*args: object, _real: Callable[..., object] = real, **kwargs: object) -> object:
            seen[0] += 1
            if seen[0] == nth:
                raise OSError(number, os.strerror(number))
            return _real(*args, **kwargs)

        monkeypatch.setattr(os, call, wrapped)


@pytest.mark.parametrize("name", WRITERS)
def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test can cut the power, so the order of the calls is checked: write all, sync, rename, sync the folder."""
    target, write = WRITERS[name]
    calls: dict[str, list[str]] = {}
    files: dict[int, str] = {}
    real = {call: getattr(os, call) for call in (*_CALLS, "close")}

    def opened(path: object, *args: object, **kwargs: object) -> int:
        handle = real["open"](path, *args, **kwargs)
        files[handle] = Path(str(path)).name
        return handle

    def on_handle(call: str) -> Callable[..., object]:
        def wrapped(handle: int, *args: object) -> object:
            if handle in files:
                calls.setdefault(files[handle], []).append(call)
            return real[call](handle, *args)

        return wrapped

    def replaced(source: Path, final: Path) -> None:
        assert calls[source.name][-2:] == ["fsync", "close"]
        assert set(calls[source.name][:-2]) == {"write"}
        calls[final.name] = ["rename"]
        assert tmp_path.name not in calls or calls[tmp_path.name][-1] == "close"
        calls[tmp_path.name] = [*calls.get(tmp_path.name, []), "rename"]
        real["replace"](source, final)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "replace", replaced)
    for call in ("write", "fsync", "close"):
        monkeypatch.setattr(os, call, on_handle(call))
    write(tmp_path, 1)
    monkeypatch.undo()
    assert calls[target] == ["rename"]
    count = sum(done == ["rename"] for done in calls.values())
    assert calls[tmp_path.name] == ["rename", "fsync", "close"] * count


def test_a_full_disk_is_felt_for_real(tmp_path: Path) -> None:
    """The kernel itself refuses, by a limit on file size; the old file stays."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path; from insula.io import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_bytes(Path(sys.argv[1]), bytes(5000))\n"
        "except Exception as error: print(type(error).__name__, error.code, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("CannotCreate 73")
    assert "a.bin" in done.stdout
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("name", WRITERS)
def test_two_hundred_kills_leave_no_corrupt_file(name: str, tmp_path: Path) -> None:
    """Kill a process that only writes 200 times, then let the next start clean up.

    Most kills come at random moments, every fourth when a file has been begun.
    The killed process is a fork of one that has imported everything, so that 200 kills take seconds.
    """
    target, write = WRITERS[name]
    versions = set()
    for n in (1, 2):
        write(tmp_path, n)
        versions.add((tmp_path / target).read_bytes())
        begun = time.perf_counter()
        write(tmp_path, n)
        latest_s = 0.005 + 1.5 * (time.perf_counter() - begun)  # a slow machine writes long: kills must meet writes
    rng = random.Random(0)
    orphans = 0
    for n in range(_KILLS):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    write(tmp_path, 1)
                    write(tmp_path, 2)
            finally:
                os._exit(1)
        if n % 4:
            time.sleep(rng.uniform(0.0005, latest_s))
        else:
            _wait_for_a_file_of(child, tmp_path)  # on a busy machine no random moment may fall into a write
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert (tmp_path / target).read_bytes() in versions
        orphans += len(list(tmp_path.glob(".insula-*.tmp")))
    assert orphans > 0, "no kill fell into a write: the test proves nothing"
    with OutputFolder(tmp_path):
        assert not list(tmp_path.glob(".insula-*.tmp"))


def _wait_for_a_file_of(process: int, folder: Path) -> None:
    until = time.monotonic() + 10
    while not any(folder.glob(f".insula-{process}-*.tmp")) and time.monotonic() < until:
        pass


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_an_interruption_leaves_the_old_file_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_where_folders_cannot_be_opened_none_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *arguments: opened.append(arguments))
        patch.setattr(os, "name", "nt")
        sync_folder(tmp_path)
    assert not opened


def test_text_is_utf_8_and_what_utf_8_cannot_hold_is_a_question_mark(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "caf\xe9 \udce9\n")
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xc3\xa9 ?\n"


def test_json_is_indented_by_two_and_keeps_order_and_letters_and_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1], "a": "\xe9"})
    assert (tmp_path / "a.json").read_bytes() == b'{\n  "b": [\n    1\n  ],\n  "a": "\xc3\xa9"\n}\n'
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "b.json", value)
    assert not (tmp_path / "b.json").exists()
