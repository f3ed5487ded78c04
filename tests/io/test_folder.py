"""The output folder: proved before the work, locked during it, swept before the next."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from insula.errors import CannotCreate, InsulaError
from insula.io import FolderInUse, OutputFolder

_HOLD = """
import sys, time; from pathlib import Path; from insula.io import FolderInUse, OutputFolder
with OutputFolder(Path(sys.argv[1])):
    print("held", flush=True); time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_one_dies(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with pytest.raises(FolderInUse, match="being written by another run") as caught, OutputFolder(tmp_path):
        pass
    assert caught.value.code == 73
    first.kill()
    first.wait()
    with OutputFolder(tmp_path):
        pass


def test_orphans_are_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".insula-123-abcd.tmp").write_bytes(b"half")
    (tmp_path / "kept.nii.gz").write_bytes(b"whole")
    with OutputFolder(tmp_path):
        assert {p.name for p in tmp_path.iterdir()} - {".insula.lock"} == {"kept.nii.gz"}


def test_orphans_further_down_are_swept_by_whoever_owns_the_whole_tree(tmp_path: Path) -> None:
    orphan = tmp_path / "sub-01" / "anat" / ".insula-123-abcd.tmp"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half")
    with OutputFolder(tmp_path):
        assert orphan.exists()
    with OutputFolder(tmp_path, nested=True):
        assert not orphan.exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(CannotCreate, match="out cannot be written"), OutputFolder(tmp_path / "out"):
        pass
    with pytest.raises(CannotCreate, match="inner"), OutputFolder(tmp_path / "out" / "inner"):
        pass


@pytest.mark.parametrize(("number", "code"), [(errno.EROFS, 73), (errno.EACCES, 77), (errno.ENOSPC, 73)])
def test_a_folder_that_cannot_be_written_is_known_before_the_work(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: object, flags: int, *args: object, **kwargs: object) -> int:
        if flags & os.O_CREAT and "lock" not in str(path):
            raise OSError(number, os.strerror(number))
        return real(path, flags, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InsulaError) as caught, OutputFolder(tmp_path):
        pytest.fail("the work began")
    assert caught.value.code == code
