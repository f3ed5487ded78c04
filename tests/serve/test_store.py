from __future__ import annotations

import threading
from pathlib import Path

import pytest

from insula.errors import InsulaError, NoInput
from insula.io import write_bytes
from insula.serve import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.sweep(set())
    return made


def test_a_sweep_keeps_what_is_known_and_nothing_else(store: Store) -> None:
    for name in ("known", "orphan"):
        store.job(name).path.mkdir()
        (store.job(name).path / "upload.nii").write_bytes(b"x")
    (store.incoming / "half").write_bytes(b"x")
    store.temporary("worker-0").mkdir()
    store.sweep({"known"})
    files = [path.relative_to(store.path).as_posix() for path in store.path.rglob("*") if path.is_file()]
    assert files == ["jobs/known/upload.nii"]


def test_a_job_is_gone_though_its_worker_goes_on_writing(store: Store) -> None:
    for number in range(50):
        folder = store.job(str(number)).path
        folder.mkdir()
        begun = threading.Event()

        def write(folder: Path = folder, begun: threading.Event = begun) -> None:
            for n in range(40):
                begun.set()
                try:
                    write_bytes(folder / f"{n}", b"x")
                except InsulaError:
                    return

        writer = threading.Thread(target=write)
        writer.start()
        begun.wait()
        store.remove(str(number))
        writer.join()
        assert not folder.exists()


def test_an_upload_that_is_gone_is_said(store: Store) -> None:
    store.job("a").path.mkdir()
    with pytest.raises(NoInput, match="no longer"):
        store.job("a").upload()
    store.remove("never there")
