"""`insula inspect`: what weights are, and what they remember."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cli.call import call
from insula.checkpoint import Card, load_weights, save_weights
from insula.config import MambaUNet, PrepareConfig
from insula.io import write_prob
from insula.models import build_model
from insula.volume import Case


@pytest.fixture
def scan(coarse_case: Case, tmp_path: Path) -> Path:
    write_prob(tmp_path / "head.nii.gz", coarse_case.scan.image, coarse_case.scan.grid)
    return tmp_path / "head.nii.gz"


def test_weights_say_what_they_are(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "inspect", tiny_weights)
    assert result.code == 0
    assert "attention_unet, " in result.out
    assert "widths (4, 8)" in result.out
    assert "48x56x44 voxels of 4 mm" in result.out
    assert "calibrated on  nothing" in result.out


def test_the_bundled_weights_say_how_they_came_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "inspect")
    assert result.code == 0
    assert "mamba_unet, 8,322,386 parameters" in result.out
    assert "simulated infarcts" in result.out
    last = load_weights("smart").card.provenance
    assert f"{last['steps']:,} steps in {last['minutes']} minutes, {last['device']}; before that " in result.out
    assert "26,698 steps in 15.3 minutes; before that the mean of 4 weights" in result.out
    assert len(re.findall(r"smart [0-9a-f]{12}: 19,2.* steps in .*; before that 51,002 steps", result.out)) == 2


def test_the_members_of_an_ensemble_are_described_too(capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "inspect", "ensemble")
    assert result.code == 0
    whole, *members = result.out.split("\nmember ")
    assert "3 networks, the first: attention_unet" in whole
    assert [member.splitlines()[1].split() for member in members] == [
        ["name", "baseline"],
        ["name", "enhanced"],
        ["name", "smart"],
    ]
    for member in members:
        assert "calibrated on  " in member
        name = member.splitlines()[1].split()[1]
        assert load_weights(name).sha256 in member


def test_a_mean_of_means_is_followed_to_the_first_runs(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = load_weights(str(tiny_weights))
    first = {"name": "first", "sha256": "ab" * 32, "steps": 7, "minutes": 0.5, "device": "cpu"}
    mean = {"name": "mean", "sha256": "cd" * 32, "mean_of": [first, {"sha256": "ef" * 32}]}
    provenance = {"mean_of": [mean, {**first, "steps": 9, "started_from": {"steps": 1}}]}
    save_weights(tmp_path, tiny.model, replace(tiny.card, provenance=provenance))
    result = call(capsys, "inspect", tmp_path)
    assert result.code == 0
    lines = result.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("mean of"))
    assert lines[start - 1].split(maxsplit=1) == ["training", "the mean of 2 weights"]
    assert [line[15:] for line in lines[start : start + 4]] == [
        "mean cdcdcdcdcdcd: the mean of 2 weights",
        "  first abababababab: 7 steps in 0.5 minutes, cpu",
        "  ? efefefefefef: unknown",
        "first abababababab: 9 steps in 0.5 minutes, cpu; before that 1 steps",
    ]


def test_a_memory_is_drawn(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = MambaUNet(widths=(4, 8, 16), reduction=1, state=4, memory_size=5, norm="group", stem="full")
    torch.manual_seed(0)
    prepare = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)
    (tmp_path / "weights").mkdir()
    save_weights(tmp_path / "weights", build_model(config), Card(name="m", model=config, prepare=prepare))
    result = call(capsys, "inspect", tmp_path / "weights", "--scan", scan, "--out", tmp_path / "page.html")
    assert result.code == 0
    assert result.out.splitlines()[-1] == str(tmp_path / "page.html")
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
        result = call(capsys, *arguments)
        assert result.code == code
        assert named in result.err
        assert len(result.err.strip().splitlines()) == 1
