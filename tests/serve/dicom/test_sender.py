from __future__ import annotations

from pathlib import Path

import pytest

from insula.errors import Unavailable, UsageError
from insula.serve.dicom import Target, send
from insula.serve.dicom.sender import stored
from io_series import write_series


def test_a_target_is_title_host_and_port() -> None:
    assert Target.parse("ORTHANC@127.0.0.1:4242") == Target("127.0.0.1", 4242, "ORTHANC")
    assert Target.parse("A@[::1]:104") == Target("::1", 104, "A")


@pytest.mark.parametrize(
    "text", ["", "ORTHANC", "ORTHANC@host", "@host:1", "ORTHANC@host:x", "ORTHANC@:104", "A-TITLE-THAT-IS-TOO-LONG@h:1"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="TITLE@HOST:PORT"):
        Target.parse(text)


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    file = next(write_series(tmp_path).iterdir())
    with pytest.raises(Unavailable, match="does not answer"):
        send([file], Target("127.0.0.1", 1, "NOBODY"), title="INSULA")


def test_success_and_warnings_are_stored() -> None:
    assert [stored(status) for status in (0x0000, 0xB000, 0xB007, 0xA700, 0xC000, -1)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
