from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from insula.errors import InsulaError, NoInput
from insula.io import write_bytes
from insula.serve import Jobs, JobStore


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    new_store = JobStore(tmp_path)
    new_store.sweep(set())
    return new_store


def test_a_sweep_keeps_what_is_known_and_deletes_nothing_that_may_be_a_job(store: JobStore) -> None:
    for name in ("known", "orphan"):
        store.job(name).path.mkdir()
        (store.job(name).path / "upload.nii").write_bytes(b"x")
    (store.incoming / "half").write_bytes(b"x")
    store.temporary("worker-0").mkdir()
    store.sweep({"known"})
    assert _files(store) == ["jobs/known/upload.nii", "quarantine/orphan/upload.nii"]


def test_what_lies_in_quarantine_stays_there_until_its_job_is_known_again(store: JobStore) -> None:
    for content in (b"first", b"second"):  # of one name
        store.job("a").path.mkdir()
        (store.job("a").path / "upload.nii").write_bytes(content)
        store.sweep(set())
    store.sweep(set())
    kept = [(store.path / name).read_bytes() for name in _files(store)]
    assert sorted(kept) == [b"first", b"second"]
    store.sweep({"a"})
    assert (store.job("a").path / "upload.nii").read_bytes() == b"first"


_DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "text": lambda _: b"hello " * 1000,
    "cut": lambda data: data[: len(data) // 2 + 100],
    "head": lambda data: bytes(100) + data[100:],
    "zeros": lambda data: bytes(len(data)),
    "page": lambda data: data[:4096] + bytes(4096) + data[8192:],
}


@pytest.mark.parametrize("damage", _DAMAGES)
@pytest.mark.parametrize("log", ["checkpointed", "in the log"])
def test_whatever_happens_to_the_file_of_jobs_no_folder_is_deleted(damage: str, log: str, store: JobStore) -> None:
    jobs = Jobs(store.database)
    ids = [f"{n:032x}" for n in range(70)]
    for id in ids:
        jobs.add(owner="one", key=None, upload=(id, "ab" * 32, 1), options={}, keep_seconds=100)
        store.job(id).path.mkdir()
        (store.job(id).path / "upload.nii").write_bytes(id.encode())
    wal = store.path / "jobs.sqlite-wal"
    unwritten = wal.read_bytes()
    jobs.close()
    if log == "in the log":  # as a service that is killed leaves it
        wal.write_bytes(unwritten)
    damaged = _DAMAGES[damage](store.database.read_bytes())
    store.database.unlink() if damaged is None else store.database.write_bytes(damaged)
    store.mend()
    again = Jobs(store.database)
    store.sweep(again.ids())
    uploads = list(store.path.rglob("upload.nii"))
    assert sorted(path.parent.name for path in uploads) == ids
    assert all(path.read_bytes() == path.parent.name.encode() for path in uploads)
    if again.ids():
        assert damaged and log == "in the log", "which still held everything"
        assert again.ids() == set(ids)
    elif damaged:
        assert (store.quarantine / "jobs.sqlite").read_bytes() == damaged, "nor is what is left of the file"
    elif log == "in the log":
        assert (store.quarantine / "jobs.sqlite-wal").read_bytes() == unwritten


def test_a_whole_file_of_jobs_stays_where_it_is(store: JobStore) -> None:
    Jobs(store.database).add(owner="one", key=None, upload=("a", "ab" * 32, 1), options={}, keep_seconds=100)
    store.mend()  # with the first still open
    assert Jobs(store.database).ids() == {"a"}
    assert not store.quarantine.exists()


def test_a_job_that_came_to_nothing_leaves_its_upload_only(store: JobStore) -> None:
    folder = store.job("a")
    (folder.path / "results").mkdir(parents=True)
    for path in (
        folder.path / "upload.nii",
        folder.scan,
        folder.archive,
        folder.results.mask,
        folder.path / "results.part",
    ):
        path.write_bytes(b"x")
    folder.clear()
    assert _files(store) == ["jobs/a/upload.nii"]


def _files(store: JobStore) -> list[str]:
    return sorted(path.relative_to(store.path).as_posix() for path in store.path.rglob("*") if path.is_file())


def test_a_job_is_gone_though_its_worker_goes_on_writing(store: JobStore) -> None:
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


def test_an_upload_that_is_gone_is_said(store: JobStore) -> None:
    store.job("a").path.mkdir()
    with pytest.raises(NoInput, match="no longer"):
        store.job("a").upload()
    store.remove("never there")
