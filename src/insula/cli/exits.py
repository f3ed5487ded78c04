"""From an exception to one line and an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from insula.errors import Interrupted, as_insula_error

__all__ = ["exit_code_of"]


def exit_code_of(call: Callable[[], int | None], *, debug: bool = False) -> int:
    """Run `call`; print an error as one line on stderr, with its traceback only when debugging.

    Args:
        call: the work; returns its exit code, None for 0.
        debug: let a traceback be seen.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal's encoding lacks is shown as ?
            stream.reconfigure(errors="replace")
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


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)
