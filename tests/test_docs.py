"""The walk-through of the documentation, command by command, on a small copy."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from cohort.sources_tree import plant_sources
from cohort.tree import plant_tree
from insula.checkpoint import Card, save_weights
from insula.cli import main
from insula.config import AttentionUNet, PrepareConfig
from insula.models import build_model
from insula.store import Store

_ROOT = Path(__file__).parents[1]
_PAGE = _ROOT / "docs" / "how-to" / "cohort.md"
_ATLAS = _ROOT / "docs" / "how-to" / "atlas.md"
_SMALLER = ("--cases 200 --sites 10", "--cases 5 --sites 3")
_IN_ONE_PROCESS = ("simulate", "check", "prepare", "evaluate", "export", "import")


def _commands(page: Path) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def _run(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    program, *arguments = shlex.split(command)
    assert program == "insula"
    monkeypatch.setattr(sys, "argv", ["insula", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def test_the_walk_through_runs_as_written(
    quiet_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plant_sources(tmp_path / "DATA", heads=4, maps=1)  # one of every kind in use; each costs seconds to dress
    commands = _commands(_PAGE)
    assert len(commands) == 14
    assert sum(_SMALLER[0] in command for command in commands) == 1
    output: dict[str, str] = {}
    for command in commands:
        small = command.replace(*_SMALLER)
        if any(f" {verb} " in small for verb in _IN_ONE_PROCESS):
            small += " --jobs 1"
        if " segment " in small:
            small += f" --weights {quiet_weights} --device cpu"
        code, out, err = _run(small, capsys, monkeypatch)
        assert code == 0, (small, out, err)
        output[command] = out
    text = "\n".join(output.values())
    assert "5 cases from 3 sites, all simulated" in text
    assert "atlas-indi: 5 cases, 5 subjects, 3 centres; 5 usable" in text
    assert "0 centres on both sides" in text
    assert re.search(r"fold 4: .* a mean Dice over this test part carries ", text)

    for page in (
        "check/cohort.html",
        "predictions/index.html",
        "evaluation/evaluation.html",
        "evaluation-test/evaluation.html",
    ):
        html = (tmp_path / page).read_text(encoding="utf-8")
        assert html.rstrip().endswith("</html>")
        assert not re.search(r"(src|href)=.https?:", html)
    assert '`insula.store.Store("store").load(case)`' in _PAGE.read_text(encoding="utf-8")
    store = Store("store")
    image, mask = store.load(next(iter(store.cases)))
    assert image.shape == mask.shape == (192, 224, 176)
    assert len(store.cases) == 5
    assert store.verify() == []
    split = json.loads((tmp_path / "split.json").read_text())
    whole, part = (
        json.loads((tmp_path / f / "evaluation.json").read_text()) for f in ("evaluation", "evaluation-test")
    )
    assert part["preset"]["name"] == "isles2026"
    assert len(whole["sets"]["predictions"]["cases"]) == 5
    assert sorted(c["case"] for c in part["sets"]["predictions"]["cases"]) == sorted(split["folds"][0]["test"])

    scans = sorted(
        path.relative_to(tmp_path / "cohort") for path in (tmp_path / "cohort" / "Training").rglob("*_T1w.nii.gz")
    )
    assert len(scans) == 5
    for scan in scans:
        assert (tmp_path / "from-nnunet" / scan).read_bytes() == (tmp_path / "cohort" / scan).read_bytes()
    assert len(json.loads((tmp_path / "Dataset501_Lesions" / "splits_final.json").read_text())) == 5
    assert len(list((tmp_path / "from-submission").glob("*_mask.nii.gz"))) == 5


def test_the_way_from_atlas_to_an_ensemble_runs_as_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On phantoms, with a network of two stages and two steps for each fold."""
    monkeypatch.chdir(tmp_path)
    plant_tree(tmp_path / "ATLAS_2", sites=3, each=1, step_mm=6.0)
    plant_tree(tmp_path / "OWN", sites=4, each=5, step_mm=8.0)
    _hide(tmp_path / "ATLAS_2", site="R003")
    shutil.copy(next((tmp_path / "OWN").rglob("*_T1w.nii.gz")), tmp_path / "scan.nii.gz")
    torch.manual_seed(0)
    config = AttentionUNet(widths=(2, 4), stem="space_to_depth", norm="batch")
    save_weights(
        tmp_path, build_model(config), Card(name="small", model=config, prepare=PrepareConfig(), min_lesion_ml=0.5)
    )
    (tmp_path / "recipes").symlink_to(_ROOT / "recipes")
    smaller = (
        "--set model.widths=[2,4] --set train.steps=2 --set train.batch=1 --set train.crop=[32,32,32] "
        "--set train.compile=false --set train.recalibrate=1"
    )
    output: dict[str, str] = {}
    for command in _commands(_ATLAS):
        if command.startswith("tar "):
            subprocess.run(shlex.split(command), check=True)
            continue
        small = command.replace(
            "--from-weights baseline", f"--from-weights small.json {smaller} --set train.validations=1"
        )
        small = small.replace("--folds 5", "--folds 2")
        if any(f" {verb} " in small for verb in _IN_ONE_PROCESS):
            small += " --jobs 1"
        code, out, err = _run(small, capsys, monkeypatch)
        assert code == 0, (small, out, err)
        output[command.split(" --")[0]] = out
    assert "2 usable" in output["insula cohort check ATLAS_2"]
    for preset in ("atlas2022", "isles2026"):
        record = json.loads((tmp_path / f"evaluation-{preset}" / "evaluation.json").read_text())
        assert record["preset"]["name"] == preset
        assert len(record["sets"]["predictions"]["cases"]) == 2
    cards = [json.loads((tmp_path / "runs" / "atlas" / f"fold{n}" / "cohort.json").read_text()) for n in range(2)]
    assert all(card["provenance"]["started_from"]["name"] == "small" for card in cards)
    assert {card["provenance"]["cases"] for card in cards} == {1}
    assert "20 cases of 4 centres" in output["insula calibrate runs/atlas OWN"]
    with tarfile.open("atlas-ensemble.tar.gz") as packed:
        names = packed.getnames()
    assert sum(name.endswith(".safetensors") and "best" not in name for name in names) == 2
    assert not [name for name in names if "state-" in name]
    assert len(list((tmp_path / "submission").rglob("*_mask.nii.gz"))) == 1


def _hide(root: Path, *, site: str) -> None:
    """Move a site into the part whose masks are not given out."""
    for folder in (root / "Training" / site).rglob("*_mask.nii.gz"):
        folder.unlink()
    (root / "Testing").mkdir()
    (root / "Training" / site).rename(root / "Testing" / site)


def test_every_command_and_every_knob_is_in_the_reference() -> None:
    from insula import config
    from insula.cli.app import COMMANDS

    commands = (_PAGE.parents[1] / "reference" / "commands.md").read_text(encoding="utf-8")
    knobs = (_PAGE.parents[1] / "reference" / "config.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"autofunction:: {command.__module__}.{command.__name__}\n" in commands
    for name in config.__all__:
        if isinstance(getattr(config, name), type) and name.endswith(("Config", "UNet", "Recipe")):
            assert f"autoclass:: insula.config.{name}\n" in knobs, name


def test_every_relative_link_resolves() -> None:
    root = _PAGE.parents[2]
    for page in (root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")):
        if "_build" not in page.parts:
            for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
                assert (page.parent / link).exists(), f"{page.relative_to(root)}: {link}"
