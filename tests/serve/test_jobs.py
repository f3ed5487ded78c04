from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from insula.serve import Job, Jobs

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
        mine = Jobs(path)
        while (job := mine.take(name)) is not None:
            taken.append(job.id)
            time.sleep(0.001)
            assert mine.end(job, "done")

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
