"""The trainer: it learns, resumes to the bit, and leaves when told."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from insula.checkpoint import load_weights
from insula.cohort import Sources
from insula.config import AttentionUNet, PrepareConfig, Recipe, TrainConfig
from insula.errors import BadData, Interrupted, Preempted
from insula.train import HeadStream, train
from insula.train.loop import Progress
from simulate.test_head import small_host, small_shape

_CPU = torch.device("cpu")


def _recipe(**train_options: object) -> Recipe:
    options = {"steps": 6, "batch": 1, "crop": (16, 16, 16), "recalibrate": 2, "lr": 5e-3, **train_options}
    return Recipe(
        name="small", model=AttentionUNet(widths=(4, 8)), prepare=PrepareConfig(box=(64, 72, 64)),
        train=TrainConfig(**options),  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(scope="module")
def sources() -> Sources:
    shapes = (small_shape(),)
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


def test_it_learns_and_leaves_weights_a_card_and_a_log(sources: Sources, tmp_path: Path) -> None:
    seen: list[Progress] = []
    recipe = _recipe(steps=41, lr=1e-2)
    sha = train(recipe, sources, tmp_path, report=seen.append)
    assert [p.step for p in seen] == [1, 21, 41]
    assert seen[-1].loss < 0.8 * seen[0].loss
    weights = load_weights(str(tmp_path / "small.json"))
    assert weights.sha256 == sha
    assert weights.card.provenance["steps"] == 41
    assert weights.card.provenance["sources_sha256"] == "phantom"
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
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
    with pytest.raises(Preempted, match="limit of 0 minutes") as caught:
        train(_recipe(steps=9), sources, tmp_path, minutes=0)
    assert caught.value.code == 75
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 1
    train(_recipe(steps=9), sources, tmp_path, resume=True)
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 9


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
    other = replace(_recipe(), model=AttentionUNet(widths=(2, 4)))
    with pytest.raises(BadData, match="another model"):
        train(other, sources, tmp_path / "b", start=start)


def test_a_loss_that_is_not_finite_stops_the_run(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="21 steps in a row; lower train.lr"):
        train(_recipe(steps=100, losses=((float("nan"), "dice"),)), sources, tmp_path)


def test_statistics_too_large_for_float16_survive(sources: Sources, tmp_path: Path) -> None:
    """Batch statistics of deep layers pass 65504; saved as float16 they once became infinite."""
    model = AttentionUNet(widths=(4, 8), norm="batch", full_norm="batch")
    train(replace(_recipe(steps=1), model=model), sources, tmp_path)
    weights = load_weights(str(tmp_path))
    weights.model.encoders[0][0][1].running_var.fill_(1e6)  # type: ignore[index, operator, union-attr]
    from insula.checkpoint import save_weights

    save_weights(tmp_path, weights.model, weights.card)
    assert float(load_weights(str(tmp_path)).model.encoders[0][0][1].running_var[0]) == 1e6  # type: ignore[index, arg-type, union-attr]
    weights.model.head.bias.data.fill_(1e6)
    with pytest.raises(BadData, match=r"head\.bias"):
        save_weights(tmp_path, weights.model, weights.card)
