"""What a request carries is deleted when the request ends, and never while a thread still needs it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from insula.errors import BadData
from insula.serve.received import completed, refused


def test_work_of_a_cancelled_request_is_waited_for() -> None:
    began, ended = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        time.sleep(0.3)
        ended.set()

    async def request() -> None:
        task = asyncio.create_task(completed(work))
        await asyncio.to_thread(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(request())


def test_work_returns_its_outcome_or_raises_its_error() -> None:
    def fail() -> None:
        raise BadData("a", "b", "c", "d")

    assert asyncio.run(completed(lambda: 5)) == 5
    with pytest.raises(BadData):
        asyncio.run(completed(fail))


def test_a_refusal_has_the_parts_of_its_error() -> None:
    error = refused(BadData("the mask", "", "is damaged", "save it again"), 422)
    assert error.status_code == 422
    assert dict(error.detail)["message"] == "the mask is damaged; save it again"  # type: ignore[call-overload]
