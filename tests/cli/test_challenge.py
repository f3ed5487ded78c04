"""What `insula challenge` says when it cannot start."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.call import call


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--port", "99999"), 2, "--port 99999"),
        (("--device", "gpu"), 2, "--device gpu"),
        (("--weights", "nope"), 66, "the weights nope do not exist"),
    ],
)
def test_one_line_and_a_code(
    arguments: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = call(capsys, "challenge", "--root", tmp_path, *arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("layout", "code", "words"),
    [
        ("nested", 66, "without a folder around them"),
        ("foreign", 66, "neither empty nor the folder of one set of weights"),
        ("damaged", 65, "does not match its card"),
    ],
)
def test_mounted_weights_that_cannot_be_used_are_not_passed_over(
    layout: str, code: int, words: str, tiny_weights: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A server that went on with the bundled weights would be scored as somebody else's."""
    folder = tmp_path / "opt/ml/model"
    if layout == "foreign":
        folder.mkdir(parents=True)
        (folder / "checkpoint_final.pth").write_bytes(b"x")
    else:
        shutil.copytree(tiny_weights, folder / "mine" if layout == "nested" else folder)
    if layout == "damaged":
        tensors = next(folder.glob("*.safetensors"))
        tensors.write_bytes(tensors.read_bytes()[:-1] + b"\0\0")
    result = call(capsys, "challenge", "--root", tmp_path)
    assert result.code == code
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1
