"""Parallel map over cases: in order, on all cores, with bounded memory."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from insula.errors import Unavailable

__all__ = ["each", "processors"]

T = TypeVar("T")
R = TypeVar("R")
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
_AHEAD = 2  # cases waiting for each worker


def processors() -> int:
    """Return the number of processors that this process may use; a container's limit is rounded up.

    In a container that may use two of sixty-four processors, processes or threads for all of them wait for each other.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_LIMIT.read_text().split()
        return min(count, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no cgroups, or no limit ("max")
        return count


def each(work: Callable[[T], R], items: Iterable[T], *, jobs: int) -> Iterator[R]:
    """Yield `work(item)` for each item, in the order of the items, computed by `jobs` processes.

    Args:
        work: a function that other processes can import.
        items: its arguments; a few are drawn ahead.
        jobs: number of processes; 1 runs in this process.

    Raises:
        Unavailable: a worker died, most often because memory ran out.
    """
    if jobs <= 1:
        yield from map(work, items)
        return
    # joblib computes ahead without limit when results are taken slowly, and Dask brings a scheduler; from Python 3.14
    # on, `Executor.map(buffersize=...)` can replace the loop
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > _AHEAD * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            rule = "died, most often because memory ran out"
            raise Unavailable("a worker", f"of {jobs}", rule, "run again with `jobs=1`") from None
        finally:
            for future in waiting:
                future.cancel()


def _one_thread() -> None:
    """Limit a worker to one thread: it keeps to its core, and sums have one order, so results repeat to the bit."""
    import torch

    torch.set_num_threads(1)
