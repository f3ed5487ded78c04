"""What the command line's tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pool of processes unless a command asks for one: starting it takes seconds, and `tests/cohort` tries it."""
    monkeypatch.setattr("insula.cohort.processors", lambda: 1)
