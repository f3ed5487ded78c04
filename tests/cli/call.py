"""The command, called in this process: quicker than one of its own, and as strict."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from unittest import mock

import pytest

from insula.cli import main


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Said:
    """`insula ARGUMENTS`."""
    with mock.patch.object(sys, "argv", ["insula", *map(str, arguments)]), pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return Said(int(stop.value.code or 0), told.out, told.err)
