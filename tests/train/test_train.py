"""The trainer: it learns, resumes to the bit, and leaves when told."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from insula.checkpoint import load_weights
from insula.config import AttentionUNet, PrepareConfig, Recipe, TrainConfig
from insula.errors import BadData, CannotCreate, Interrupted, Preempted, Unavailable, UsageError
from insula.losses import LOSSES
from insula.synthetic import Sources
from insula.train import HeadStream, loop, train
from insula.train.loop import Progress
from insula.train.run import Run
from insula.train.step import Step
from insula.train.stream import Batch
from simulate.hosts import ball_outline, small_host

_CPU = torch.device("cpu")


def _recipe(**train_options: object) -> Recipe:
    defaults = {"steps": 6, "batch": 1, "crop": (16, 16, 16), "recalibrate": 2, "lr": 5e-3, "compile": False}
    return Recipe(
        name="small",
        model=AttentionUNet(widths=(4, 8), norm="instance", stem="full"),
        prepare=PrepareConfig(box=(64, 72, 64)),
        train=TrainConfig(**(defaults | train_options)),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def sources() -> Sources:
    shapes = (ball_outline(),)
    return Sources(hosts=(small_host(),), acute=shapes, chronic=shapes, fingerprint="phantom")


def test_a_batch_depends_on_seed_and_step_alone(sources: Sources) -> None:
    stream, again = (HeadStream(sources, _recipe(), device=_CPU) for _ in range(2))
    ahead = list(stream.batches(0, 3))
    assert len(ahead) == 3
    for step in (2, 0):
        batch = again.batch(step)
        assert torch.equal(batch.image, ahead[step].image)
        assert torch.equal(batch.truth, ahead[step].truth)
    assert not torch.equal(ahead[0].image, ahead[1].image)
    assert ahead[0].image.shape == (1, 1, 16, 16, 16)
    assert set(np.unique(ahead[0].truth)) <= {0.0, 1.0}


def test_an_echo_is_the_mirrored_batch_of_fifteen_steps_before(sources: Sources) -> None:
    recipe = _recipe(steps=22, whole_fraction=0.25)
    recipe = replace(recipe, simulate=replace(recipe.simulate, echo=True))
    plain = replace(recipe, simulate=replace(recipe.simulate, echo=False))
    once, twice = (HeadStream(sources, each, device=_CPU) for each in (plain, recipe))
    drawn = {step: once.batch(step) for step in (1, 2, 6, 15, 16)}
    ahead = dict(zip(range(1, 18), twice.batches(1, 18), strict=True))
    for step in (1, 2, 6, 15, 16):  # 15 is a whole box, and no echo of the crop before
        assert all(torch.equal(a, b) for a, b in zip(ahead[step], drawn[step], strict=True))
    for batch, source in ((ahead[17], drawn[2]), (twice.batch(21), drawn[6])):
        assert all(torch.equal(a, b.flip(2)) for a, b in zip(batch, source, strict=True))
    again = HeadStream(sources, recipe, device=_CPU)
    assert torch.equal(again.batch(17).image, ahead[17].image), "after a stop, what is echoed is drawn again"
    crops = HeadStream(sources, replace(recipe, train=replace(recipe.train, whole_fraction=0.0)), device=_CPU)
    assert torch.equal(crops.batch(21).image, crops.batch(6).image.flip(2))
    assert not torch.equal(crops.batch(23).image, crops.batch(8).image.flip(2)), "after the last step, all is new"


def test_it_learns_and_leaves_weights_a_card_and_a_log(sources: Sources, tmp_path: Path) -> None:
    seen: list[Progress] = []
    recipe = _recipe(steps=81, lr=1e-2, batch=2, losses=((1.0, "cross_entropy"),), brain_weight=1.0)
    sha = train(recipe, sources, tmp_path, report=seen.append)
    assert [p.step for p in seen] == [1, 21, 41, 61, 81]
    assert seen[-1].loss < 0.8 * seen[0].loss
    weights = load_weights(str(tmp_path / "small.json"))
    assert weights.sha256 == sha
    assert weights.card.provenance["steps"] == 81
    assert weights.card.provenance["sources_sha256"] == "phantom"
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 5
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["step"] == 1


def _stopping(at: int, number: int) -> object:
    def report(progress: Progress) -> None:
        if progress.step == at:
            os.kill(os.getpid(), number)

    return report


@pytest.fixture(scope="module")
def never_stopped(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    train(_recipe(steps=24), sources, folder)
    return (folder / "small.safetensors").read_bytes()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(n, marks=pytest.mark.long) for n in (signal.SIGUSR1, signal.SIGINT))]
)
def test_stopped_and_resumed_is_never_stopped_bit_for_bit(
    number: int, never_stopped: bytes, sources: Sources, tmp_path: Path
) -> None:
    recipe = _recipe(steps=24)
    error = Interrupted if number == signal.SIGINT else Preempted
    with pytest.raises(error) as caught:
        train(recipe, sources, tmp_path, report=_stopping(21, number))  # type: ignore[arg-type]
    if error is Preempted:
        assert caught.value.code == 75
        assert "step 21" in str(caught.value)
    train(recipe, sources, tmp_path, resume=True)
    assert (tmp_path / "small.safetensors").read_bytes() == never_stopped


def test_a_time_limit_saves_and_leaves(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(Preempted, match="limit of 1e-09 minutes") as caught:
        train(_recipe(steps=9, minutes=1e-9), sources, tmp_path)
    assert caught.value.code == 75
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 1
    train(_recipe(steps=9), sources, tmp_path, resume=True)
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 9


def test_the_time_limit_counts_what_comes_before_the_first_step(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue counts reading and compiling too."""
    begun, now = time.monotonic(), [0.0]
    monkeypatch.setattr("insula.train.loop.time.monotonic", lambda: begun + now[0])
    build = loop.Run

    def slow(*args: Any, **options: Any) -> Run:
        now[0] += 3600
        return build(*args, **options)

    monkeypatch.setattr(loop, "Run", slow)
    with pytest.raises(Preempted, match="limit of 59 minutes"):
        train(_recipe(steps=9, minutes=59), sources, tmp_path)


def test_a_folder_that_holds_a_run_is_not_begun_in(sources: Sources, tmp_path: Path) -> None:
    train(_recipe(steps=2), sources, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="holds a run already; go on with `resume`"):
        train(_recipe(steps=2), sources, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_goes_on_with_less_memory(sources: Sources, tmp_path: Path) -> None:
    """What the message about memory advises is no other recipe."""
    with pytest.raises(Preempted):
        train(_recipe(steps=4, batch=2, minutes=1e-9), sources, tmp_path)
    lean = _recipe(steps=4, batch=2, accumulate=2, recompute=True, validations=3)
    train(lean, sources, tmp_path, resume=True)
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 4


@pytest.mark.long
def test_in_bad_times_the_last_good_state_is_kept(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a state at every step, a rewind goes back to before the first gradient that was none."""
    rates = _breaking(4, 41, monkeypatch)
    train(_recipe(steps=45, warmup=0.0, save_minutes=0.0, losses=((1.0, "dice"),)), sources, tmp_path)
    assert len(rates) == 41 + 42
    assert rates[41] == pytest.approx(rates[3] / 2)


def test_a_state_of_another_recipe_is_refused(sources: Sources, tmp_path: Path) -> None:
    train(_recipe(steps=1), sources, tmp_path)
    with pytest.raises(BadData, match="another recipe"):
        train(_recipe(steps=2), sources, tmp_path, resume=True)


def test_fine_tuning_starts_from_the_given_weights(sources: Sources, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    train(_recipe(steps=3), sources, tmp_path / "a")
    start = load_weights(str(tmp_path / "a"))
    train(_recipe(steps=0, recalibrate=0), sources, tmp_path / "b", start=start)
    again = load_weights(str(tmp_path / "b"))
    for key, value in start.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key
    assert again.card.provenance["started_from"]["sha256"] == start.sha256
    other = replace(_recipe(), model=AttentionUNet(widths=(2, 4), norm="instance", stem="full"))
    with pytest.raises(BadData, match="another model"):
        train(other, sources, tmp_path / "b", start=start)


def _breaking(at: int, until: float, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A loss that is not a number from its `at`-th to its `until`-th call; the learning rates of all steps."""
    calls, rates = [0], []

    intact = LOSSES["dice"]

    def broken(sums: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return intact.of(sums) * (float("nan") if at <= calls[0] <= until else 1.0)

    def take(self: Step, batch: Batch, *, lr: float, rate: float) -> torch.Tensor:
        rates.append(lr)
        return whole(self, batch, lr=lr, rate=rate)

    whole = Step.take
    monkeypatch.setitem(LOSSES, "dice", replace(intact, of=broken))
    monkeypatch.setattr(Step, "take", take)
    return rates


def test_a_few_gradients_that_are_not_finite_are_skipped(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = _breaking(5, 12, monkeypatch)
    train(_recipe(steps=30, losses=((1.0, "dice"),)), sources, tmp_path)
    assert len(rates) == 30


@pytest.mark.long
def test_many_in_a_row_rewind_the_run_and_halve_its_rate(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rates = _breaking(1, 21, monkeypatch)
    train(_recipe(steps=30, warmup=0.0, losses=((1.0, "dice"),)), sources, tmp_path)
    assert len(rates) == 21 + 30
    assert rates[21:42] == pytest.approx([rate / 2 for rate in rates[:21]])
    assert "back at step 0, with half the learning rate" in caplog.text
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 30


@pytest.mark.long
def test_a_run_that_breaks_twice_ends_and_keeps_the_batch(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _breaking(1, float("inf"), monkeypatch)
    with pytest.raises(BadData, match=r"not finite for 20 steps in a row, .* look at bad-batch-0.safetensors"):
        train(_recipe(steps=100, losses=((1.0, "dice"),)), sources, tmp_path)
    kept = load_file(tmp_path / "bad-batch-0.safetensors")
    assert kept["image"].shape == kept["truth"].shape == (1, 1, 16, 16, 16)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [None, None]  # two runs' first steps
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 0  # nothing was lost or spoilt


def test_memory_that_does_not_suffice_is_said_with_what_to_lower(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(*_: object, **__: object) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Step, "take", take)
    with pytest.raises(
        Unavailable, match=r"a step on 4 x 16 x 16 x 16 voxels .* set train.accumulate=2 .*50%"
    ) as caught:
        train(_recipe(batch=4), sources, tmp_path)
    assert caught.value.code == 69
    assert "train.recompute=true" in str(caught.value)


def test_a_full_disk_stops_the_run_and_leaves_the_state_before(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Preempted):
        train(_recipe(steps=9, minutes=1e-9), sources, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("state-*.pt")}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((OSError, CannotCreate), match="space"):
        train(_recipe(steps=9, minutes=1e-9), sources, tmp_path, resume=True)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("state-*.pt")} == before
    train(_recipe(steps=9), sources, tmp_path, resume=True)
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 9


def test_statistics_too_large_for_float16_survive(sources: Sources, tmp_path: Path) -> None:
    """Batch statistics of deep layers pass 65504; saved as float16 they once became infinite."""
    model = AttentionUNet(widths=(4, 8), norm="batch", full_norm="batch", stem="full")
    train(replace(_recipe(steps=1), model=model), sources, tmp_path)
    weights = load_weights(str(tmp_path))
    weights.model.encoders[0][0][1].running_var.fill_(1e6)  # type: ignore[index, operator, union-attr]
    from insula.checkpoint import save_weights

    save_weights(tmp_path, weights.model, weights.card)
    norm = load_weights(str(tmp_path)).model.encoders[0][0][1]  # type: ignore[index, union-attr]
    assert float(norm.running_var[0]) == 1e6  # type: ignore[index, arg-type, union-attr]
    weights.model.head.bias.data.fill_(1e6)
    with pytest.raises(BadData, match=r"head\.bias"):
        save_weights(tmp_path, weights.model, weights.card)
