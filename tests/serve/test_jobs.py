from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from insula.config import ServeConfig
from insula.errors import IOFault
from insula.serve import Job, Jobs, JobStore, Workers
from insula.serve.database import Busy, NoRoom, Reserve
from insula.serve.jobs import QueueFull

_ERROR = {"message": "the worker died"}


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "jobs.sqlite")


def _add(jobs: Jobs, id: str, *, owner: str = "one", key: str | None = None, keep: float = 100) -> Job:
    return jobs.add(owner=owner, key=key, upload=(id, "ab" * 32, 10), options={"tta": True}, keep_seconds=keep)


def test_a_job_goes_from_queued_to_done(jobs: Jobs) -> None:
    added = _add(jobs, "a")
    assert (added.state, added.options, added.attempts) == ("queued", {"tta": True}, 0)
    taken = jobs.take("w")
    assert taken is not None
    assert (taken.id, taken.state, taken.attempts) == ("a", "running", 1)
    assert jobs.tell(taken, "segmenting", 0.5)
    assert jobs.end(taken, "done")
    ended = jobs.get("a")
    assert ended is not None
    assert (ended.state, ended.progress, ended.error) == ("done", 1, None)
    assert jobs.count() == {"done": 1}
    assert jobs.take("w") is None


def test_the_first_to_come_is_the_first_to_be_taken(jobs: Jobs) -> None:
    names = ["a", "b", "c"]
    added = [_add(jobs, name) for name in names]
    assert [jobs.ahead(job) for job in added] == [0, 1, 2]
    assert [job.id for job in (jobs.take("w"), jobs.take("w"), jobs.take("w")) if job] == names


def test_another_owner_sees_nothing(jobs: Jobs) -> None:
    _add(jobs, "a", owner="one")
    assert jobs.get("a", owner="two") is None
    assert jobs.of("two") == []
    assert [job.id for job in jobs.of("one")] == ["a"]


def test_the_same_key_is_the_same_job_for_one_owner_only(jobs: Jobs) -> None:
    assert _add(jobs, "a", key="k").id == "a"
    assert _add(jobs, "b", key="k").id == "a"
    assert _add(jobs, "c", key="k", owner="two").id == "c"
    assert jobs.ids() == {"a", "c"}


def test_a_dead_workers_job_is_queued_again_and_fails_at_last(jobs: Jobs) -> None:
    _add(jobs, "a")
    for attempt in (1, 2):
        taken = jobs.take("w")
        assert taken is not None
        assert taken.attempts == attempt
        (after,) = jobs.release("w", attempts=2, error=_ERROR)
    assert (after.state, after.error) == ("failed", _ERROR)
    assert jobs.release("w", attempts=2, error=_ERROR) == []


def test_what_a_stopping_service_puts_back_was_not_begun(jobs: Jobs) -> None:
    _add(jobs, "a")
    jobs.take("w")
    jobs.put_back()
    again = jobs.take("w")
    assert again is not None
    assert again.attempts == 1


def test_only_the_dead_workers_jobs_are_released(jobs: Jobs) -> None:
    _add(jobs, "a")
    _add(jobs, "b")
    jobs.take("dead")
    jobs.take("alive")
    assert [job.id for job in jobs.release("dead", attempts=2, error=_ERROR)] == ["a"]
    assert jobs.count() == {"queued": 1, "running": 1}


def test_who_has_lost_the_lease_is_not_heard(jobs: Jobs) -> None:
    _add(jobs, "a")
    slow = jobs.take("slow")
    assert slow is not None
    jobs.release("slow", attempts=9, error=_ERROR)
    quick = jobs.take("quick")
    assert quick is not None
    assert not jobs.tell(slow, "writing", 0.9)
    assert not jobs.end(slow, "failed", _ERROR)
    assert jobs.end(quick, "done")
    assert not jobs.end(quick, "failed", _ERROR)
    assert jobs.count() == {"done": 1}


def test_what_is_deleted_while_it_runs_stays_deleted(jobs: Jobs) -> None:
    _add(jobs, "a")
    taken = jobs.take("w")
    assert taken is not None
    jobs.delete("a")
    assert not jobs.end(taken, "done")
    assert jobs.ids() == set()


def test_a_discarded_job_is_hidden_can_be_restored_and_expires_unless_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1000.0
    monkeypatch.setattr("insula.serve.elapsed._counter", lambda: count)
    jobs = Jobs(tmp_path / "jobs.sqlite")
    for id in ("a", "b", "c"):
        _add(jobs, id, key=id)
    running = jobs.take("w")
    assert running is not None
    for id in ("a", "b"):
        jobs.discard(id, seconds=10)
    assert [job.id for job in jobs.of("one")] == ["c"]
    assert jobs.get("a", owner="one") is None
    assert jobs.get("a") is not None  # for the service itself
    assert jobs.restore("a", owner="two") is None
    assert jobs.get("a", owner="one") is None
    count += 9
    assert jobs.expired() == []
    restored = jobs.restore("a", owner="one")
    assert restored is not None and jobs.end(restored, "done")  # its worker has noticed nothing
    count += 2
    assert jobs.expired() == ["b"]
    assert jobs.restore("b", owner="one") is None  # it may be deleted at any moment
    assert jobs.restore("a", owner="one") is not None  # it is not discarded
    jobs.delete("b")
    assert jobs.restore("b", owner="one") is None
    assert [job.id for job in jobs.of("one")] == ["c", "a"]


def test_a_discarded_job_expires_even_while_it_runs(jobs: Jobs) -> None:
    _add(jobs, "a")
    jobs.take("w")
    jobs.discard("a", seconds=-1)
    assert jobs.expired() == ["a"]


def test_a_discarded_scan_that_is_sent_again_under_its_key_is_restored(jobs: Jobs) -> None:
    _add(jobs, "a", key="k")
    jobs.discard("a", seconds=-1)
    assert _add(jobs, "b", key="k").id == "a"
    assert [job.id for job in jobs.of("one")] == ["a"]
    assert jobs.expired() == []


def test_what_runs_does_not_expire(jobs: Jobs) -> None:
    _add(jobs, "a", keep=-1)
    _add(jobs, "b", keep=-1)
    jobs.take("w")
    assert jobs.expired() == ["b"]
    assert jobs.overdue(-1) == {"w"}
    assert jobs.overdue(60) == set()


def test_every_job_is_taken_once_by_many_processes_connections(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    first = Jobs(path)
    for n in range(40):
        _add(first, f"{n:02d}")
    taken: list[str] = []

    def work(name: str) -> None:
        jobs = Jobs(path)
        while (job := jobs.take(name)) is not None:
            taken.append(job.id)
            time.sleep(0.001)
            assert jobs.end(job, "done")

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [f"{n:02d}" for n in range(40)]
    assert first.count() == {"done": 40}


def test_what_was_said_is_still_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    first = Jobs(tmp_path / "jobs.sqlite")
    _add(first, "a")
    first.take("w")
    again = Jobs(tmp_path / "jobs.sqlite")
    (job,) = again.release(None, attempts=2, error=_ERROR)
    assert job.state == "queued"


def test_a_queue_takes_so_many_and_knows_what_it_has(jobs: Jobs) -> None:
    def add(id: str, key: str) -> Job:
        return jobs.add(owner="one", key=key, upload=(id, "ab" * 32, 1), options={}, keep_seconds=1, most_queued=2)

    add("a", "ka"), add("b", "kb")
    with pytest.raises(QueueFull, match="is full \\(2 jobs\\)"):
        add("c", "kc")
    assert add("d", "kb").id == "b"
    jobs.take("w")
    assert add("c", "kc").id == "c"


_DAY = 86400.0


@pytest.mark.parametrize("hours", [25, -25, 24 * 365])
def test_a_clock_that_jumps_deletes_and_stops_nothing(
    hours: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(tmp_path)
    store.sweep(set())
    jobs = Jobs(store.database)
    for id in ("done", "runs", "waits"):
        _add(jobs, id, keep=_DAY)
        store.job(id).path.mkdir()
    done, _ = jobs.take("w"), jobs.take("w")
    assert done is not None and jobs.end(done, "done")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600 * hours)
    _add(jobs, "later", keep=_DAY)
    for opened in (jobs, Jobs(store.database)):
        Workers(store, opened, ServeConfig())._sweep()
        assert opened.overdue(900) == set()
        assert opened.ids() == {"done", "runs", "waits", "later"}
    assert len(list((store.path / "jobs").iterdir())) == 3
    assert jobs.of("one")[0].id == "later"
    assert [job.id for job in (jobs.take("w"), jobs.take("w")) if job] == ["waits", "later"]
    seconds = jobs.get("done").seconds
    assert seconds is not None and 0 <= seconds < 60


def test_ages_are_counted_from_the_end_and_over_restarts_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1000.0
    monkeypatch.setattr("insula.serve.elapsed._counter", lambda: count)
    jobs = Jobs(tmp_path / "jobs.sqlite")
    _add(jobs, "a", keep=100)
    count += 90
    taken = jobs.take("w")
    count += 20
    assert taken is not None and jobs.end(taken, "done")
    assert jobs.get("a").seconds == 20
    count += 99
    assert jobs.expired() == []
    again = Jobs(tmp_path / "jobs.sqlite")
    count += 2
    assert again.expired() == ["a"]


def test_another_start_of_the_machine_counts_on_from_what_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its counter may stand anywhere; that of a machine to which the store was moved too."""
    count, boot = 1000.0, "first"
    monkeypatch.setattr("insula.serve.elapsed._counter", lambda: count)
    monkeypatch.setattr("insula.serve.elapsed._boot", lambda: boot)
    jobs = Jobs(tmp_path / "jobs.sqlite")
    _add(jobs, "a", keep=100)
    count += 60
    jobs.count_on()
    jobs.close()
    for start in (("second", 5.0), ("third", 10_000_000.0)):
        boot, count = start
        jobs = Jobs(tmp_path / "jobs.sqlite")
        assert jobs.expired() == []
        count += 15
        jobs.count_on()
        jobs.close()
    jobs = Jobs(tmp_path / "jobs.sqlite")
    count += 9
    assert jobs.expired() == []
    count += 2
    assert jobs.expired() == ["a"]


@pytest.mark.long
def test_a_locked_store_is_told_soon_and_is_read_meanwhile(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs.sqlite", wait_seconds=2)
    _add(jobs, "a")
    other = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    messages: list[str] = []

    def delete() -> None:
        try:
            jobs.delete("a")
        except Busy as error:
            messages.append(str(error))

    threads = [threading.Thread(target=delete) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    assert jobs.ids() == {"a"}
    assert time.monotonic() - begun < 1.5, "reading does not wait for those who wait to write"
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 15
    assert len(messages) == 3
    assert all("is locked by another program; try again" in text for text in messages)
    other.execute("ROLLBACK")
    jobs.delete("a")
    assert jobs.ids() == set()


def test_a_full_disk_is_told_and_the_room_that_was_kept_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(tmp_path / "jobs.sqlite")
    writer = jobs._db._writer
    _add(jobs, "a")
    taken = jobs.take("w")
    assert taken is not None
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own full disk
    error = {"message": "x" * 100_000}
    with pytest.raises(NoRoom, match="no space is left"):
        jobs.end(taken, "failed", error)
    assert jobs.get("a").state == "running"
    reserve = jobs._db.reserve
    reserve.path.write_bytes(bytes(3 << 20))

    def release() -> bool:
        if reserve.path.stat().st_size == 1 << 20:
            writer.execute("PRAGMA max_page_count = 1000000")
        return type(reserve).release(reserve)

    monkeypatch.setattr(reserve, "release", release)
    assert jobs.end(taken, "failed", error)
    assert jobs.get("a").state == "failed"
    assert reserve.path.stat().st_size == 0


def test_room_is_kept_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = Reserve(tmp_path / "reserve")
    for _ in range(2):
        assert reserve.hold()
        state = reserve.path.stat()
        assert state.st_size == 512 * state.st_blocks == 16 << 20, "and not as a hole"
    pieces = 0
    while reserve.release():
        pieces += 1
    assert pieces == 16
    monkeypatch.setattr("insula.serve.database.shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    assert not reserve.hold()
    assert reserve.path.stat().st_size == 0


def test_damage_while_it_is_open_is_told(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs.sqlite")
    jobs._db._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "jobs.sqlite").write_bytes(b"hello " * 2000)
    with pytest.raises(IOFault, match="SQLite error"):
        Jobs(tmp_path / "jobs.sqlite")
