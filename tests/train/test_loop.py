"""The loop: the learning rate and the moving average follow their schedules."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from insula.config import AttentionUNet, PrepareConfig, Recipe, TrainConfig
from insula.store import CaseSet
from insula.train import loop, train
from insula.train.run import Run
from insula.train.step import Step
from insula.train.stream import Batch

_BOX = (16, 16, 16)
_PEAK = 1e-2


def _recipe(steps: int, **options: object) -> Recipe:
    settings = {"batch": 1, "crop": _BOX, "lr": _PEAK, "recalibrate": 0, "device": "cpu", "compile": False, **options}
    return Recipe(
        name="small",
        model=AttentionUNet(widths=(2, 4), brain=False),
        prepare=PrepareConfig(box=_BOX),
        train=TrainConfig(steps=steps, **settings),  # type: ignore[arg-type]
    )


def _cases() -> CaseSet:
    image = torch.rand(_BOX, generator=torch.Generator().manual_seed(0)).half()
    return CaseSet(names=("a",), images=(image,), masks=(image > 0.9,), fingerprint="a")


def _rates(recipe: Recipe, folder: Path) -> list[float]:
    """Train with a validation after every step; return the logged learning rate of each."""
    folder.mkdir()
    train(recipe, _cases(), folder, judge_by=_cases())
    return [json.loads(line)["lr"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_learning_rate_rises_linearly_and_then_falls_as_a_cosine(tmp_path: Path) -> None:
    rates = _rates(_recipe(10, warmup=0.4, validations=10), tmp_path / "a")
    rising = [_PEAK * share for share in (0.25, 0.5, 0.75, 1.0)]
    falling = [_PEAK * (1 + math.cos(math.pi * n / 6)) / 2 for n in range(6)]
    assert rates == pytest.approx(rising + falling)
    assert rates[4] == _PEAK
    assert 0 < rates[-1] < 0.07 * _PEAK


def test_without_a_warm_up_the_second_step_is_at_the_peak(tmp_path: Path) -> None:
    rates = _rates(_recipe(4, warmup=0.0, validations=4), tmp_path / "a")
    assert rates == pytest.approx([_PEAK * share for share in (1, 1, 0.75, 0.25)])


def test_the_default_warm_up_is_three_per_cent_of_the_steps(tmp_path: Path) -> None:
    rates = _rates(_recipe(100, validations=100), tmp_path / "a")
    assert rates[:4] == pytest.approx([_PEAK / 3, _PEAK * 2 / 3, _PEAK, _PEAK])
    assert rates[3] > rates[4] > rates[99]


@pytest.mark.parametrize(
    ("ema", "expected"), [(0.999, [1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14]), (0.2, [1 / 10, 2 / 11, 0.2, 0.2, 0.2])]
)
def test_the_average_forgets_early_weights_and_then_decays_as_configured(
    ema: float, expected: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each step, average = decay x average + (1 - decay) x model, and counts of batches are the model's."""
    seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []

    def take(self: Step, batch: Batch, **options: float) -> torch.Tensor:
        if not seen:
            seen.append(_copies(self))
        loss = whole(self, batch, **options)
        seen.append(_copies(self))
        return loss

    whole = Step.take
    monkeypatch.setattr(Step, "take", take)
    train(_recipe(5, ema=ema, validations=0), _cases(), tmp_path)
    names = {name.rpartition(".")[2] for name in seen[0][0]}
    assert {"weight", "running_mean", "num_batches_tracked"} <= names
    for decay, (_, before), (model, average) in zip(expected, seen, seen[1:], strict=False):
        for name, value in average.items():
            if value.is_floating_point():
                torch.testing.assert_close(value, decay * before[name] + (1 - decay) * model[name], msg=name)
            else:
                assert torch.equal(value, model[name]), name


def _copies(steps: Step) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    model, average = (
        {name: value.clone() for name, value in network.state_dict().items()}
        for network in (steps.model, steps.average)
    )
    return model, average


def test_a_vote_from_before_a_save_does_not_save_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes answer a step late: the step that saves has asked for it once more."""
    answers, saved = iter([0, 1, 1, 0, 0, 1, 1, 0]), list[int]()

    class Late:
        def __init__(self, world: object) -> None: ...

        def cast(self, wish: int) -> int:
            return next(answers)

    monkeypatch.setattr(loop, "Votes", Late)
    monkeypatch.setattr(Run, "save", lambda run: saved.append(run.step))
    train(_recipe(8), _cases(), tmp_path)
    assert saved == [0, 2, 6, 8]  # before the first step, twice when asked, and at the end
