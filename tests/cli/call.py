"""The command, called in this process: quicker than one of its own, and as strict."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from unittest import mock

import pytest

from insula.cli import main


@dataclass(frozen=True)
class CommandResult:
    """What a command left behind."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> CommandResult:
    """`insula ARGUMENTS`."""
    with mock.patch.object(sys, "argv", ["insula", *map(str, arguments)]), pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return CommandResult(int(stop.value.code or 0), printed.out, printed.err)
