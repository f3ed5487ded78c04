"""Replace parameter names in messages of lower floors by command-line flags."""

from __future__ import annotations

import inspect
import re
from functools import cache

__all__ = ["with_flags"]

_PARAMETER = re.compile(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)*)(?:=([^`]*))?`")


def with_flags(text: str) -> str:
    """Replace each parameter in backticks by its flag: "`assume_t1w`" by "--assume-t1w", "`frame=0`" by "--frame 0".

    Other words in backticks stay as they are.

    Args:
        text: a message from any floor.
    """
    return _PARAMETER.sub(_flag, text)


def _flag(match: re.Match[str]) -> str:
    name, value = match.groups()
    if name not in _parameters():
        return match[0]
    return f"--{name.replace('_', '-')}" + (f" {value}" if value else "")


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
