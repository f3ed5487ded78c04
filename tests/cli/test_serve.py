"""What the doors say to those who ask wrongly; none of it starts a service."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.call import call
from insula.io import OutputFolder
from insula.serve import token_hash

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_umask() -> Iterator[None]:
    """A service makes its files private for the whole process."""
    before = os.umask(0)
    os.umask(before)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("serve", "--port", "99999"), 2, "0 to 65535"),
        (("serve", "--set", "most_queued=lots"), 2, "most_queued"),
        (("serve", "--set", "nothing=1"), 2, "nothing"),
        (("serve", "--settings", "none.toml"), 66, "does not exist"),
        (("serve", "--host", "0.0.0.0"), 2, "no token is set"),
        (("serve", "--set", 'tokens=[{owner="a", sha256="short"}]'), 2, "no valid hexadecimal SHA-256"),
        (("serve", "--set", f'tokens=[{{owner="a", sha256="{"0" * 64}", expires="soon"}}]'), 2, "invalid expiry date"),
        (("serve", "--weights", "nope"), 66, "do not exist"),
        (
            ("serve", "--set", f'tokens=[{{owner="a", sha256="{"0" * 64}", expires="2020-01-01"}}]'),
            2,
            "have all expired",
        ),
        (("serve", "--set", 'devices=["cuda:63"]'), 69, "not there"),
        (("token", "ward", "--days", "99999999"), 2, "a century"),
        (("dicom", "listen", "--send", "foo"), 2, "TITLE@HOST:PORT"),
        (("dicom", "listen", "--port", "-1"), 2, "0 to 65535"),
        (("dicom", "listen", "--set", 'title="A-TITLE-THAT-IS-TOO-LONG"'), 2, "1 to 16 characters"),
        (("dicom", "listen", "--title", ""), 2, "1 to 16 characters"),
        (("dicom", "listen", "--callers", "SCANNER", "A-TITLE-THAT-IS-TOO-LONG"), 2, "1 to 16 characters"),
        (("dicom", "listen", "--stow", "pacs:8042"), 2, "not an http or https URL"),
        (("dicom", "listen", "--stow", "https://me:SECRET@pacs"), 2, "INSULA_STOW_AUTHORIZATION"),
        (("dicom", "listen", "--tls-cert", "node.pem"), 2, "go together"),
        (("dicom", "listen", "--tls-cert", "node.pem", "--tls-key", "node.key"), 66, "does not exist"),
        (("dicom", "listen", "--metrics-port", "99999"), 73, "metrics' port 99999"),
        (("dicom", "listen", "--audit", "nowhere/audit"), 73, "audit file"),
        (("serve", "--audit", "nowhere/audit"), 73, "audit file"),
        (("serve", "--study", "nowhere"), 66, "--study nowhere does not exist"),
        (("serve", "--study", "."), 66, "holds no results"),
        (("serve", "--scans", "scans"), 2, "are of no study; name its folder with --study"),
        (("token", "Dr Smith"), 2, "letters, digits"),
        (("token", "ward", "--days", "0"), 2, "less than a day"),
        (("export", "nope", "--out", "x.onnx"), 66, "do not exist"),
    ],
)
def test_one_line_and_a_code(
    arguments: tuple[str, ...], code: int, words: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INSULA_TOKEN", raising=False)
    result = call(capsys, *arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_short_token_is_for_this_machine_only(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSULA_TOKEN", "abc")
    result = call(capsys, "serve", "--host", "0.0.0.0", "--store", tmp_path / "store")
    assert result.code == 2
    assert "shorter than 16" in result.err


def test_a_token_and_its_hash(capsys: Capture) -> None:
    result = call(capsys, "token", "ward-3", "--days", "10")
    token, *lines = result.out.splitlines()
    assert lines[0] == "[[tokens]]"
    assert f'sha256 = "{token_hash(token)}"' in lines
    assert re.fullmatch(r'expires = "\d{4}-\d\d-\d\d"', lines[-1])


def test_a_folder_that_another_service_has(capsys: Capture, tmp_path: Path) -> None:
    with OutputFolder(tmp_path):
        result = call(capsys, "serve", "--store", tmp_path, "--port", "0")
    assert result.code == 73
    assert "another run" in result.err


def test_a_derivative_by_another_program_is_not_served(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "lesiontool"}]}')
    result = call(capsys, "serve", "--study", tmp_path, "--store", tmp_path / "store")
    assert (result.code, result.err.count("\n")) == (66, 1)
    assert "is a BIDS derivative that lesiontool wrote: it holds no results of insula; name the folder" in result.err
