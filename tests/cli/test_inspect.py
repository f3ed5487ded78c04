"""`insula inspect`: what weights are, and what they remember."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cli.call import call
from insula.checkpoint import Card, save_weights
from insula.config import MambaUNet, PrepareConfig
from insula.io import write_prob
from insula.models import build_model
from insula.volume import Case


@pytest.fixture
def scan(coarse_case: Case, tmp_path: Path) -> Path:
    write_prob(tmp_path / "head.nii.gz", coarse_case.scan.image, coarse_case.scan.grid)
    return tmp_path / "head.nii.gz"


def test_weights_say_what_they_are(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "inspect", tiny_weights)
    assert said.code == 0
    assert "attention_unet, " in said.out
    assert "widths (4, 8)" in said.out
    assert "48x56x44 voxels of 4 mm" in said.out
    assert "calibrated on  nothing" in said.out


def test_the_bundled_weights_say_how_they_came_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "inspect")
    assert said.code == 0
    assert "mamba_unet, 8,322,386 parameters" in said.out
    assert "simulated infarcts" in said.out
    assert "26,698 steps in 15.3 minutes, NVIDIA H100" in said.out
    assert "3 networks, the first: attention_unet" in call(capsys, "inspect", "ensemble").out


def test_a_memory_is_drawn(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = MambaUNet(widths=(4, 8, 16), reduction=1, state=4, memory_size=5)
    torch.manual_seed(0)
    prepare = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)
    (tmp_path / "weights").mkdir()
    save_weights(tmp_path / "weights", build_model(config), Card(name="m", model=config, prepare=prepare))
    said = call(capsys, "inspect", tmp_path / "weights", "--scan", scan, "--out", tmp_path / "page.html")
    assert said.code == 0
    assert said.out.splitlines()[-1] == str(tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "5 tokens of 4" in html
    assert "head" in html


def test_rubbish_gets_one_line(
    scan: Path, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, code, named in (
        (("inspect", "absent"), 66, "absent"),
        (("inspect", tiny_weights, "--scan", tmp_path / "no.nii"), 66, "no.nii"),
        (("inspect", tiny_weights, "--scan", scan), 69, "without a memory"),
    ):
        said = call(capsys, *arguments)
        assert said.code == code
        assert named in said.err
        assert len(said.err.strip().splitlines()) == 1
