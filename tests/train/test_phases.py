"""A step's time is told apart, and nothing is left behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from insula.config import AttentionUNet, PrepareConfig, Recipe, TrainConfig
from insula.store import CaseSet
from insula.train import measure_phases
from insula.train.case_stream import CaseStream
from insula.train.stream import Batch

_BOX = (16, 16, 16)


def test_phases_are_told_apart_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image = torch.rand(_BOX).half()
    cases = CaseSet(names=("a",), images=(image,), masks=(image > 0.5,), fingerprint="a")
    recipe = Recipe(
        name="small",
        model=AttentionUNet(widths=(2, 4), norm="instance", stem="full"),
        prepare=PrepareConfig(box=_BOX),
        train=TrainConfig(steps=99, crop=_BOX, device="cpu", compile=False),
    )
    make_batch = CaseStream.batch

    def slow(self: CaseStream, step: int) -> Batch:
        time.sleep(0.02)
        return make_batch(self, step)

    monkeypatch.setattr(CaseStream, "batch", slow)
    phases = measure_phases(recipe, cases, steps=3)
    assert list(phases.phases) == [
        "data and augmentation",
        "forward",
        "loss",
        "backward",
        "exchange, clipping, optimiser",
        "moving average",
    ]
    assert all(ms > 0 for ms in phases.phases.values())
    assert phases.phases["data and augmentation"] >= 20
    assert phases.step > 0
    assert not list(tmp_path.iterdir())
