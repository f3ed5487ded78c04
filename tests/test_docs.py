"""The walk-through of the documentation, command by command, on a small copy."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from cohort.sources_tree import plant_sources
from insula.cli import main
from insula.cohort import Store

_PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "cohort.md"
_SMALLER = ("--cases 200 --sites 10", "--cases 5 --sites 3")
_IN_ONE_PROCESS = ("simulate", "check", "prepare", "evaluate", "export", "import")


def _commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def _run(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    program, *arguments = shlex.split(command)
    assert program == "insula"
    monkeypatch.setattr(sys, "argv", ["insula", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    return int(stop.value.code or 0), told.out, told.err


def test_the_walk_through_runs_as_written(
    quiet_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plant_sources(tmp_path / "DATA", heads=4, maps=1)  # one of every kind in use; each costs seconds to dress
    commands = _commands()
    assert len(commands) == 14
    assert sum(_SMALLER[0] in command for command in commands) == 1
    said: dict[str, str] = {}
    for command in commands:
        small = command.replace(*_SMALLER)
        if any(f" {verb} " in small for verb in _IN_ONE_PROCESS):
            small += " --jobs 1"
        if " segment " in small:
            small += f" --weights {quiet_weights} --device cpu"
        code, out, err = _run(small, capsys, monkeypatch)
        assert code == 0, (small, out, err)
        said[command] = out
    text = "\n".join(said.values())
    assert "5 cases from 3 sites, all simulated" in text
    assert "atlas-indi: 5 cases, 5 subjects, 3 centres; 5 usable" in text
    assert "0 centres on both sides" in text
    assert re.search(r"fold 4: .* a mean Dice over this test part carries about", text)

    for page in (
        "check/cohort.html",
        "predictions/index.html",
        "evaluation/evaluation.html",
        "evaluation-test/evaluation.html",
    ):
        html = (tmp_path / page).read_text(encoding="utf-8")
        assert html.rstrip().endswith("</html>")
        assert not re.search(r"(src|href)=.https?:", html)
    assert '`insula.cohort.Store("store").load(case)`' in _PAGE.read_text(encoding="utf-8")
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
