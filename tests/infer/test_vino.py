"""OpenVINO may compute, and is to report to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_CHILD = """
import socket
asked = []
def refuse(*arguments, **_):
    asked.append(arguments)
    raise OSError("no network here")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
from insula.infer import openvino
openvino().Core().available_devices
import sys, time
time.sleep(1)  # what is sent is sent by another thread
print(asked, sys.modules["openvino_telemetry"])
"""


@pytest.mark.long
def test_importing_it_asks_for_no_address_and_leaves_no_identifier(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[] None"
    assert not list(tmp_path.rglob("*openvino*"))
