"""From an exception to one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from insula.errors import InsulaError, InternalBug, Interrupted, from_os_error

__all__ = ["as_insula_error", "exit_code_of"]


def exit_code_of(call: Callable[[], int | None], *, debug: bool = False) -> int:
    """Run `call`; print an error as one line on stderr, with its traceback only when debugging.

    Args:
        call: the work; returns its exit code, None for 0.
        debug: let a traceback be seen.
    """
    try:
        signal.signal(signal.SIGTERM, _stop)
        return call() or 0
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if debug:
            raise
        known = as_insula_error(error)
        print(f"insula: {known}", file=sys.stderr)
        return known.exit_code if isinstance(known, Interrupted) else known.code
    except KeyboardInterrupt:
        if debug:
            raise
        stopped = Interrupted(signal.SIGINT)
        print(f"\ninsula: {stopped}", file=sys.stderr)
        return stopped.exit_code


def as_insula_error(error: Exception) -> InsulaError:
    """The member of the family that says what happened; a bug of ours if nothing better fits."""
    if isinstance(error, InsulaError):
        return error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        from insula.errors import Unavailable

        return Unavailable("memory", "", "ran out", "try --low-memory, or --device cpu, or close other programs")
    if isinstance(error, OSError):
        return from_os_error(error, what="the file", value=error.filename or "", writing=False)
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}" if place else "?"
    return InternalBug(
        type(error).__name__, f"at {where} ({error})", "is a bug of insula", "run again with --debug and report it"
    )


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)
