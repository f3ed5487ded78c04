"""How a process of the command line ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from insula.cli.exits import leave

_PROGRAM = """
import atexit
import torch.distributed as dist
from insula.cli.exits import leave
if {several}:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
atexit.register(print, "Python's own end")
print("a result", end="")
leave(3)
"""


@pytest.mark.parametrize(("several", "printed"), [(False, "a resultPython's own end\n"), (True, "a result")])
def test_one_of_several_processes_ends_at_once_with_its_code_and_all_that_it_printed(
    several: bool, printed: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(several=several)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (3, printed)


def test_alone_it_exits_as_any_program() -> None:
    with pytest.raises(SystemExit) as stop:
        leave(65)
    assert stop.value.code == 65
