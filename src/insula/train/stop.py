"""Early stops of a run, by a signal or a time limit, acted on between steps."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType

from insula.errors import Interrupted, Preempted

__all__ = ["Stop"]

_TIME_IS_UP, _SIGNAL = 1, 10  # the larger wish wins; the signal number is added


class Stop:
    """Context manager that turns SIGINT, SIGTERM, SIGUSR1 and a time limit into a wish to stop.

    Args:
        minutes: the time limit [min]; 0 for none.
        since: start of the time limit, by `time.monotonic`; now if not given.
    """

    def __init__(self, minutes: float, *, since: float | None = None) -> None:
        begun = time.monotonic() if since is None else since
        self._minutes, self._until = minutes, begun + 60 * (minutes or math.inf)
        self._signal: int | None = None
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGUSR1", signal.SIGTERM)):
            with suppress(ValueError):  # not in the main thread: its owner handles signals
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = number

    @property
    def wish(self) -> int:
        """0 to continue; the largest wish of all processes counts."""
        if self._signal is not None:
            return _SIGNAL + self._signal
        return _TIME_IS_UP if time.monotonic() > self._until else 0

    def error(self, wish: int, step: int) -> Preempted | Interrupted:
        """Return the error that ends a run for a wish, which may come from another process."""
        if wish == _TIME_IS_UP:
            rule = f"reached its limit of {self._minutes:.3g} minutes and is saved"
            return Preempted("the run", f"at step {step}", rule, "go on with `resume`")
        if wish == _SIGNAL + signal.SIGINT:
            return Interrupted(signal.SIGINT)
        name = signal.Signals(wish - _SIGNAL).name
        return Preempted("the run", f"at step {step}", f"was stopped by {name} and is saved", "go on with `resume`")
