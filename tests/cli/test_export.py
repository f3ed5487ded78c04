"""`insula export` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.call import call


@pytest.mark.long
def test_a_file_in_each_form_that_any_machine_makes(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form, name in (("onnx", "it.onnx"), ("openvino", "it.xml")):
        result = call(capsys, "export", tiny_weights, "--format", form, "--shape", 16, 16, 16, "--out", tmp_path / name)
        assert (result.code, result.out.strip()) == (0, str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--format", "aoti", "--any-batch"), 2, "one volume at a time"),
        (("--format", "soup", "--shape", "16", "16", "16"), 2, "no input size to choose"),
        (("--format", "onnx", "--device", "cpu"), 2, "not compiled for a device"),
        (("--format", "soup"), 2, "a mean needs several"),
        (("--format", "onnx"), 2, "does not end in .onnx"),
        (("--format", "monai-bundle", "--any-batch"), 2, "one volume at a time"),
    ],
)
def test_what_makes_no_sense_gets_one_line(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    tiny_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = call(capsys, "export", tiny_weights, *arguments, "--out", tmp_path / "it")
    assert result.code == code
    assert message in " ".join(result.err.split())
    assert not list(tmp_path.iterdir())


def test_a_size_that_the_network_cannot_halve(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "export", tiny_weights, "--shape", 0, 16, 16, "--out", tmp_path / "it.onnx")
    assert result.code == 2
    assert "not divisible" in result.err
    assert not list(tmp_path.iterdir())
