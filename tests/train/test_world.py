"""Two processes train what one does, and when one of them dies the run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from insula.checkpoint import load_weights
from insula.errors import UsageError
from insula.train import World


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs")
    script = Path(__file__).with_name("pair.py")
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads((folder / "told.json").read_text())


def _losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_two_processes_have_the_loss_curve_of_one(runs: tuple[Path, dict[str, Any]]) -> None:
    """To a hundred-thousandth: sums are in another order, and what differs grows with the steps."""
    folder, told = runs
    assert told["alone"] == [0]
    assert told["pair"] == [0, 0]
    alone, pair = _losses(folder / "alone"), _losses(folder / "pair")
    assert len(alone) == 4  # the first, the twenty-first, and those that are judged after
    assert alone[-1] < 0.9 * alone[0]
    assert pair == pytest.approx(alone, rel=1e-5)
    one, two = (load_weights(str(folder / name)) for name in ("alone", "pair"))
    for name, value in one.model.state_dict().items():
        assert torch.allclose(value, two.model.state_dict()[name], atol=1e-3), name  # saved as float16
    assert two.card.provenance["processes"] == 2


def test_when_one_is_killed_the_other_stops_soon_and_says_so(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, told = runs
    first, second = told["killed"]
    assert os.WTERMSIG(second) == signal.SIGKILL
    assert os.WEXITSTATUS(first) == 74
    assert told["seconds"] < 60
    assert "another process of this run is gone" in (folder / "killed" / "error-0.txt").read_text()


def test_all_started_again_end_where_none_had_died(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, told = runs
    assert told["resumed"] == [0, 0]
    assert load_weights(str(folder / "killed")).sha256 == load_weights(str(folder / "pair")).sha256


def test_runs_follow_each_other_in_the_same_processes(runs: tuple[Path, dict[str, Any]]) -> None:
    """As folds do; processes that leave and meet again can miss each other."""
    folder, told = runs
    assert told["folds"] == [0, 0]
    assert len({load_weights(str(folder / "folds" / f"fold{n}")).sha256 for n in range(3)}) == 1


def test_every_process_reads_the_final_weights_as_soon_as_it_is_done(runs: tuple[Path, dict[str, Any]]) -> None:
    """And not those of an earlier save, while rank 0 is still writing."""
    folder, _ = runs
    final = {name: load_weights(str(folder / name)).sha256 for name in ("pair", "folds/fold0", "folds/fold2")}
    read = {name: {(folder / name / f"read-{rank}.txt").read_text() for rank in (0, 1)} for name in final}
    assert read == {name: {sha} for name, sha in final.items()}


def test_the_judgement_is_of_all_cases_wherever_they_were_segmented(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = runs
    alone, pair = (
        [json.loads(line)["validation"] for line in (folder / name / "log.jsonl").read_text().splitlines()]
        for name in ("alone", "pair")
    )
    assert [exam["dice"] for exam in pair if exam] == pytest.approx([exam["dice"] for exam in alone if exam], abs=1e-3)
    assert sum(exam is not None for exam in pair) == 2
    assert (folder / "pair" / "best" / "small.json").exists()


def test_a_batch_that_cannot_be_dealt_out_is_refused(runs: tuple[Path, dict[str, Any]]) -> None:
    folder, told = runs
    assert [os.WEXITSTATUS(status) for status in told["undealt"]] == [2, 2]
    said = (folder / "undealt" / "error-0.txt").read_text()
    assert "a batch 3 cannot be dealt out to 2 processes; use a batch of 4" in said


@pytest.mark.soak
def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """The weights at the end are those of a run that was left alone, to the bit; alone and in two processes."""
    script = Path(__file__).with_name("pair.py")
    done = subprocess.run([sys.executable, script, tmp_path, "soak"], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    for size, told in enumerate(json.loads((tmp_path / "told.json").read_text()), start=1):
        assert told["kills"] >= 20, told
        alone, killed = (load_weights(str(tmp_path / f"{name}{size}")).sha256 for name in ("alone", "killed"))
        assert killed == alone


def test_alone_nothing_is_asked_of_anybody() -> None:
    world = World()
    x = torch.ones(2, requires_grad=True)
    assert world.total(x) is x
    assert world.agree(3) == 3
    assert world.mean_of(0.25) == 0.25
    assert list(world.share(3)) == [0, 1, 2]


def test_variables_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="start the run with torchrun"):
        World.join()


@pytest.mark.parametrize(("visible", "own"), [(4, "cuda:3"), (1, "cuda:0")])
def test_a_process_takes_its_own_gpu_also_where_it_sees_no_other(
    visible: int, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queues differ: some show every process all GPUs of the machine, some its own alone."""
    taken: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    assert World(rank=3, size=4, local_rank=3).device("auto") == torch.device(own)
    assert taken == [torch.device(own)]
