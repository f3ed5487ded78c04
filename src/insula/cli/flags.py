"""Replace parameter names in messages of lower floors by command-line flags."""

from __future__ import annotations

import re

from insula.errors import InsulaError

__all__ = ["PARAMETERS", "flagged", "with_flags"]

_PARAMETER = re.compile(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)*)(?:=([^`]*))?`")
PARAMETERS = frozenset(
    """
    again any_batch assume_orientation assume_t1w audit batch by callers cases compiled controls data days debug device
    dry_run each engine fold folds format fraction frame from_weights hoped host inner jobs label low_memory masks
    method metrics_port names networks open out part participant_label patch port precision predictions preset primary
    profile real repeats resume root scan scans seed send series set settings shape simulated sites slurm split steps
    store stow study threshold title tls_ca tls_cert tls_key to tta unfamiliar ways weights
    """.split()
)
"""The parameters that have a flag in one command or more."""


def with_flags(text: str) -> str:
    """Replace each parameter in backticks by its flag: "`assume_t1w`" by "--assume-t1w", "`frame=0`" by "--frame 0".

    Other words in backticks stay as they are.

    Args:
        text: a message from any floor.
    """
    return _PARAMETER.sub(_flag, text)


def flagged(error: InsulaError) -> InsulaError:
    """Return the same error with flags in its message, as it is shown and recorded by the command line.

    Args:
        error: of any class that takes what, value, rule and remedy.
    """
    return type(error)(*map(with_flags, (error.what, error.value, error.rule, error.remedy)))


def _flag(match: re.Match[str]) -> str:
    name, value = match.groups()
    if name not in PARAMETERS:
        return match[0]
    return f"--{name.replace('_', '-')}" + (f" {value}" if value else "")
