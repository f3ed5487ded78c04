"""Replace parameter names in messages of lower floors by command-line flags."""

from __future__ import annotations

import inspect
import re
from functools import cache

__all__ = ["with_flags"]

_PARAMETER = re.compile(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)*)`")


def with_flags(text: str) -> str:
    """Replace each parameter name in backticks by its flag, e.g. "`assume_t1w`" by "--assume-t1w".

    Other words in backticks stay as they are.

    Args:
        text: a message from any floor.
    """
    parameters = _parameters()
    return _PARAMETER.sub(lambda match: f"--{match[1].replace('_', '-')}" if match[1] in parameters else match[0], text)


@cache
def _parameters() -> frozenset[str]:
    """Return the names of the keyword parameters of all commands."""
    from insula.cli.app import COMMANDS
    from insula.cli.bids import bids_app

    return frozenset(
        name
        for command in (*COMMANDS, bids_app)
        for name, parameter in inspect.signature(command).parameters.items()
        if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
    )
