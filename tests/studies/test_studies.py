"""Smoke tests of the commands behind the documents' numbers: they start, exist where they are named, and some run."""

from __future__ import annotations

import importlib
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from insula.adapt import adapted_recipe
from insula.checkpoint import Card, load_weights, save_weights
from insula.config import AdaptConfig, AttentionUNet, PrepareConfig
from insula.metrics import dice_score
from insula.models import build_model
from insula.simulate import phantom_case
from insula.simulate.phantom import Sphere, phantom_grid
from insula.synthetic import Sources
from insula.train import HeadStream
from insula.volume import Mask
from simulate.hosts import ball_outline, small_host

_ROOT = Path(__file__).parents[2]
_NAMES = sorted(path.stem for path in (_ROOT / "studies").glob("*.py") if path.stem != "__init__")
_COMMANDS = [
    name for name in _NAMES if "\ndef main()" in (_ROOT / "studies" / f"{name}.py").read_text(encoding="utf-8")
]
_OPTIONAL = {"highdicom", "httpx", "libcst", "monai", "mutmut", "nncf", "onnxruntime", "openvino", "pydicom"}
"""Modules of the package's extras; a study that imports one is skipped where it is not installed."""
_NAMED = re.compile(r"-m studies\.(?P<command>\w+)|\bstudies/(?P<file>\w+)\.py\b")


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(_ROOT), *sys.path])


def _study(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"studies.{name}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OPTIONAL:
            raise
        pytest.skip(f"{missing} is not installed")


def _run(study: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [study.__name__, *map(str, words)])
    study.main()


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_answers_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = _study(name)
    with pytest.raises(SystemExit) as stop:
        _run(study, monkeypatch, "--help")
    assert stop.value.code == 0
    about = capsys.readouterr().out
    assert (study.__doc__ or "").splitlines()[0][:60] in " ".join(about.split())
    assert "usage: " in about


@pytest.mark.parametrize("name", sorted(set(_NAMES) - set(_COMMANDS)))
def test_every_other_module_imports(name: str) -> None:
    assert _study(name).__doc__


def test_the_documents_name_only_commands_that_exist() -> None:
    texts = [_ROOT / "README.md", _ROOT / "Makefile", *(_ROOT / "docs").rglob("*.md"), *(_ROOT / "src").rglob("*.py")]
    matches = [(path, match) for path in texts for match in _NAMED.finditer(path.read_text(encoding="utf-8"))]
    assert len(matches) > 20
    for path, match in matches:
        assert match["command"] is None or match["command"] in _COMMANDS, (path, match[0])
        assert match["file"] is None or match["file"] in _NAMES, (path, match[0])


def test_a_command_in_a_docstring_is_its_own_module() -> None:
    for name in _COMMANDS:
        text = (_ROOT / "studies" / f"{name}.py").read_text(encoding="utf-8").split('"""')[1]
        assert set(re.findall(r"-m studies\.(\w+)", text)) == {name}


def test_fuzzing_finds_nothing_wrong_in_a_few_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz = _study("fuzz")
    monkeypatch.setattr(fuzz, "ProcessPoolExecutor", partial(ThreadPoolExecutor, 1))
    _run(fuzz, monkeypatch, "--nifti", 20, "--dicom", 2, "--out", tmp_path / "fuzz.json")
    counts = json.loads((tmp_path / "fuzz.json").read_text(encoding="utf-8"))
    assert {name: sum(outcomes.values()) for name, outcomes in counts.items()} == {"DICOM": 2, "NIfTI": 20}
    assert not any("wrong" in outcomes for outcomes in counts.values())
    assert "NIfTI: 20 headers, " in capsys.readouterr().out


def test_the_state_space_study_prints_and_writes_its_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--device", "cpu", "--most", 1024, "--repeats", 1, "--out", tmp_path)
    _run(_study("state_space"), monkeypatch, *words)
    measured = json.loads((tmp_path / "state_space.json").read_text(encoding="utf-8"))["measured"]
    assert set(measured) == {"state space", "full attention"}
    assert (tmp_path / "state_space.svg").exists()
    out = capsys.readouterr().out
    assert "| tokens | state space [x] | full attention [x] | state space [GiB] | full attention [GiB] |" in out
    assert "| 1024 | 1.0 | " in out


def test_the_interval_study_counts_coverage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    intervals = _study("intervals")
    monkeypatch.setattr(intervals, "_CENTRES", (2, 10))
    monkeypatch.setattr(intervals, "_CASES", (30,))
    _run(intervals, monkeypatch, "--runs", 2, "--out", tmp_path / "intervals.json")
    rows = json.loads((tmp_path / "intervals.json").read_text(encoding="utf-8"))["rows"]
    assert [row["centres"] for row in rows] == [2] * 4 + [10] * 4
    assert all(row["mean covered"] is None for row in rows[:4])
    assert all(row["mean covered"] in (0.0, 0.5, 1.0) for row in rows[4:])
    assert "| 2 | 30 | 0 | - |" in capsys.readouterr().out


@pytest.mark.parametrize("window", [(8, 8, 8), (40, 5, 7)])
def test_windows_cover_every_voxel_and_weigh_them_to_one(window: tuple[int, int, int]) -> None:
    image = torch.rand(1, 1, 19, 16, 11)
    torch.testing.assert_close(_study("windows").windowed_logits(lambda x: x, image, window), image)


def test_an_empty_cell_of_a_table_is_one_space() -> None:
    assert _study("rows").table(["", "n"], [["baseline", "3"]]) == "| | n |\n|---|---|\n| baseline | 3 |"


def test_mutants_change_code_and_leave_texts_alone(tmp_path: Path) -> None:
    mutants = _study("mutants")
    path = tmp_path / "code.py"
    path.write_text(
        'def up(a: int = 1) -> int:\n    """Return 1 more."""\n    if (\n        a < 0\n    ):\n'
        '        raise ValueError(f"{a + 1} is below 0")\n    return a + 1\n',
        encoding="utf-8",
    )
    changes = {(mutant.lines, mutant.line, mutant.change) for mutant in mutants.mutants_of(path)}
    assert changes == {
        ((1, 1), 1, "`1` -> `2`"),
        ((3, 5), 4, "`< 0` -> `<= 0`"),
        ((3, 5), 4, "`0` -> `1`"),
        ((7, 7), 7, "`a + 1` -> `a - 1`"),
        ((7, 7), 7, "`1` -> `2`"),
    }
    for mutant in mutants.mutants_of(path):
        pairs = zip(path.read_text(encoding="utf-8").splitlines(), mutant.source().splitlines(), strict=True)
        assert [number for number, (old, new) in enumerate(pairs, start=1) if old != new] == [mutant.line]


@pytest.mark.long
def test_the_review_study_counts_failures_in_the_order_of_the_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, ranking = _study("review"), _study("ranking")
    failures, scores = np.array([True, False, True, False]), np.array([0.9, 0.9, 0.1, 0.5])
    assert ranking.found(failures, scores).tolist() == [0.25, 0.5, 0.5, 1.0]  # the first two in either order
    assert ranking.area(failures, np.zeros(4)) == pytest.approx(0.5)
    assert ranking.area(failures, np.array([1, 0, 1, 0])) == pytest.approx(1 - failures.mean() / 2)
    (tmp_path / "test").mkdir()
    for n in range(8):
        flags = [{"code": "motion", "text": "", "severity": "warning"}] if n < 2 else []
        volumes = dict.fromkeys(("0.1", "0.3", "0.5", "0.7", "0.9"), 20.0)
        certain = {"mean_probability": 0.9, "peak_probability": 0.99, "volume_ml_at_threshold": volumes}
        lesions = [{"volume_ml": 20.0, "mean_probability": 0.9, "confidence": 0.9}]
        record = {"outcome": "done", "volume_ml": 20.0, "lesion_count": 1, "lesions": lesions, "flags": flags}
        record |= {"confidence": certain, "brain": {"volume_ml": 1300.0}, "sides": {"left_ml": 20.0, "right_ml": 0.0}}
        row = {"case": str(n), "host": f"h{n % 2}", "fault": "motion" if n < 2 else None, "truth_ml": 20.0}
        row |= {"dice": 0.1 if n < 2 else 0.8, "record": record}
        (tmp_path / "test" / f"{n}.json").write_text(json.dumps(row), encoding="utf-8")
    _run(study, monkeypatch, "--out", tmp_path, "--parts", "test", "--signals")
    facts = json.loads((tmp_path / "review.json").read_text(encoding="utf-8"))["test"]
    assert (facts["cases"], facts["failures"]) == (8, 2)
    assert facts["review score"]["area"] == pytest.approx(1 - 0.25 / 2)
    assert facts["random order"]["area"] == pytest.approx(0.5)
    assert "| motion | 2 | 0 | 2 | 2 |" in capsys.readouterr().out


def test_every_planted_fault_changes_the_scan_and_keeps_the_truth_on_its_grid() -> None:
    planted = _study("planted")
    case = phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0)), (Sphere((-38.0, -10.0, 18.0), 14.0),))
    brain = Mask(case.scan.image > 0.3 * case.scan.image.max(), case.scan.grid)
    head = planted.Head(case.scan, case.truth, brain)
    for kind in planted.FAULTS:
        other = planted.plant(kind, head, np.random.default_rng(0))
        assert other.truth.grid == other.brain.grid == other.scan.grid, kind
        same = other.scan.grid == head.scan.grid and np.array_equal(other.scan.image, head.scan.image)
        assert not same, kind
        if kind != "thick slices":
            assert int(other.truth.voxels.sum()) + other.lost == int(head.truth.voxels.sum()), kind
        assert (other.lost > 0) <= (kind == "cut")


@pytest.mark.long
def test_the_adaptation_study_has_a_row_for_true_masks_and_for_shuffled_ones(tmp_path: Path) -> None:
    study, shapes, device = _study("adapt"), (ball_outline(),), torch.device("cpu")
    sources = Sources(hosts=(small_host(),), acute=shapes, chronic=shapes, fingerprint="phantom")
    config, box = AttentionUNet(widths=(4, 8), norm="instance", stem="full"), PrepareConfig(box=(64, 72, 64))
    save_weights(tmp_path, build_model(config), Card(name="tiny", model=config, prepare=box))
    weights, settings = load_weights(str(tmp_path)), AdaptConfig(steps=2, folds=2, device="cpu")
    stream = HeadStream(sources, adapted_recipe(weights.card, settings, device, simulated=True), device=device)
    cases = replace(study.with_lesion(stream, 5), painted_from=sources)
    assert all(bool(mask.any()) for mask in cases.masks)
    mixed = study.shuffled(cases)
    assert all(torch.equal(mixed.masks[n], cases.masks[(n + 1) % 5]) for n in range(5))
    row = study.row_of(weights, mixed, {"old_test": stream.cases(2, seed=2)}, settings, tmp_path / "runs")
    assert row["cases"] == 5
    assert not row["gained"]
    assert 0 <= row["old_test"]["dice"] <= 1


def test_dice_at_each_threshold_is_that_of_the_mask_cut_there() -> None:
    averages = _study("averages")
    draw = torch.Generator().manual_seed(5)
    logits, truth = torch.randn(6, 7, 8, generator=draw), torch.rand(6, 7, 8, generator=draw) < 0.2
    for threshold, dice in zip(averages._THRESHOLDS, averages.dices(logits, truth), strict=True):
        mask = torch.sigmoid(logits) > threshold
        assert dice == pytest.approx(dice_score(truth.numpy(), mask.numpy()), abs=1e-6)
