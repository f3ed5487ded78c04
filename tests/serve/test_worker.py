"""A worker refuses a job for what is wrong with the input, and tries again after any other error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from insula.config import ServeConfig, to_dict
from insula.errors import BadData, CannotCreate, InsulaError, IOFault, NoInput, TooLarge, Unavailable, UsageError
from insula.serve import Jobs, JobStore
from insula.serve import worker as worker_module
from insula.serve.worker import work


class _RefusedWithOtherCode(BadData):
    code = 1


class _UnrefusedWithCodeOfBadData(InsulaError):
    code = 65


class _Idle(BaseException):
    """The worker looks for another job."""


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    """A store with one job."""
    store = JobStore(tmp_path)
    store.sweep(set())
    store.settings.write_text(json.dumps(to_dict(ServeConfig(attempts=2))))
    Jobs(store.database).add(owner="one", key=None, upload=("a", "ab" * 32, 10), options={}, keep_seconds=100)
    store.job("a").path.mkdir()
    return store


def _run(store: JobStore, error: Exception, monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    """Let a worker run the job, which raises an error; return what ended the worker."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    def sleep(_: float) -> None:
        raise _Idle

    monkeypatch.setattr("insula.checkpoint.load_weights", lambda name: name)
    monkeypatch.setattr(worker_module, "run_job", fail)
    monkeypatch.setattr(worker_module.time, "sleep", sleep)
    with pytest.raises((_Idle, SystemExit)) as end:
        work(store, device="cpu", name="w")
    return end.type


@pytest.mark.parametrize("kind", [BadData, TooLarge, NoInput, UsageError, _RefusedWithOtherCode])
def test_an_error_of_the_input_ends_the_job_and_not_the_worker(
    kind: type[InsulaError], store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(store, kind("the scan", "a", "is wrong", "send another"), monkeypatch) is _Idle
    job = Jobs(store.database).get("a")
    assert job is not None and job.error is not None
    assert (job.state, job.error["kind"]) == ("refused", kind.__name__)


@pytest.mark.parametrize(
    "error",
    [
        *(
            kind("the disk", "", "is full", "free some space")
            for kind in (CannotCreate, IOFault, Unavailable, _UnrefusedWithCodeOfBadData)
        ),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_other_error_ends_the_worker_and_at_last_the_job(
    error: Exception, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(store.database)
    assert _run(store, error, monkeypatch) is SystemExit
    assert jobs.count() == {"running": 1}, "the service queues it again"
    jobs.release("w", attempts=2, error={})
    assert _run(store, error, monkeypatch) is SystemExit
    assert jobs.count() == {"failed": 1}
