"""Many processes give what one gives, in order, and a dead one is named."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from insula.cohort import each, processors
from insula.errors import BadData, Unavailable


def _double(number: int) -> int:
    return 2 * number


def _refuse(number: int) -> int:
    raise BadData("the number", number, "is refused", "take another")


def _die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_results_come_in_order_from_one_process_and_from_two(jobs: int) -> None:
    assert list(each(_double, range(20), jobs=jobs)) == list(range(0, 40, 2))
    assert processors() >= 1


def test_an_error_crosses_the_border_whole() -> None:
    with pytest.raises(BadData, match="the number 7 is refused; take another"):
        list(each(_refuse, [7], jobs=2))


@pytest.mark.long
def test_a_killed_worker_is_named_and_nothing_hangs() -> None:
    with pytest.raises(Unavailable, match="`jobs=1`"):
        list(each(_die, range(8), jobs=2))


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("9900000 100000", 8),
        ("", 8),
    ],
)
def test_a_container_may_use_fewer_processors(
    limit: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    monkeypatch.setattr("insula.cohort.pool._CPU_LIMIT", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert processors() == count
    (tmp_path / "cpu.max").unlink()
    assert processors() == 8
