"""Turn an exception into one line on stderr and an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from insula.cli.console import warn
from insula.errors import InsulaError, Interrupted, as_insula_error

__all__ = ["code_of_cases", "exit_code_of", "leave"]


def exit_code_of(call: Callable[[], int | None], *, debug: bool = False) -> int:
    """Run a command and return its exit code; print an error as one line on stderr.

    Args:
        call: the command; returns its exit code, or None for 0.
        debug: raise the error instead, to show its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # show ? for characters that the terminal cannot encode
            stream.reconfigure(errors="replace")
    try:
        signal.signal(signal.SIGTERM, _stop)
        return call() or 0
    except BrokenPipeError:  # the reader of our output closed it, e.g. `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if debug:
            raise
        known = as_insula_error(error)
        warn(str(known))
        return known.code
    except (Interrupted, KeyboardInterrupt) as error:
        if debug:
            raise
        stopped = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
        if isinstance(error, KeyboardInterrupt):  # the terminal has shown ^C
            print(file=sys.stderr)
        warn(str(stopped))
        return stopped.exit_code


def leave(code: int) -> NoReturn:
    """End the process with a code.

    One of several processes of a run ends at once: in Python's own end, threads of `torch.distributed` can abort it,
    and the launcher would take a finished run for a failed one.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # closed by the reader
                stream.flush()
        os._exit(code)
    sys.exit(code)


def code_of_cases(refused: Sequence[InsulaError], count: int) -> int:
    """Return 0; 1 if some of several cases were refused; the refusal's own code if there was only one case."""
    return 0 if not refused else refused[0].code if count == 1 else 1


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)
