"""A run resumes from its own states, also from those of earlier versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from insula.checkpoint import load_state, load_weights, save_state
from insula.config import AttentionUNet, PrepareConfig, Recipe, SEUNet, TrainConfig
from insula.errors import BadData
from insula.store import CaseSet
from insula.train import World
from insula.train.run import Run

_CPU = torch.device("cpu")
_BOX = (16, 16, 16)
_RECIPE = Recipe(
    name="small",
    model=AttentionUNet(widths=(2, 4), norm="instance", stem="full", brain=False),
    prepare=PrepareConfig(box=_BOX),
    train=TrainConfig(steps=4, batch=1, crop=_BOX, lr=1e-3, recalibrate=0, device="cpu", compile=False),
)


def _run(recipe: Recipe, folder: Path) -> Run:
    image = torch.linspace(0, 1, 16**3).reshape(_BOX).half()
    cases = CaseSet(names=("a",), images=(image,), masks=(image > 0.5,), fingerprint="a")
    return Run(recipe, cases, folder, start=None, world=World())


def _save_without(folder: Path, keys: dict[str, tuple[str, ...]]) -> None:
    """Save a state whose recipe lacks some settings, or all of a part, as an earlier version wrote it."""
    run = _run(_RECIPE, folder)
    next(iter(run.model.parameters())).data.fill_(0.25)
    run.save()
    state = load_state(folder, device=_CPU)
    assert state is not None
    for part, names in keys.items():
        for name in names:
            del state["recipe"][part][name]
        if not names:
            del state["recipe"][part]
    save_state(folder, 1, state)


def test_a_state_from_before_a_default_changed_goes_on_as_it_began(tmp_path: Path) -> None:
    """A setting that the state does not name has the default of its time, not today's."""
    keys = {"train": ("batch", "lr", "compile", "teacher"), "model": ("norm", "stem", "sides", "brain"), "augment": ()}
    _save_without(tmp_path, keys)
    resumed = _run(_RECIPE, tmp_path)
    assert resumed.restore()
    assert bool((next(iter(resumed.model.parameters())) == 0.25).all())
    today = {"lr": TrainConfig().lr, "batch": TrainConfig().batch}
    for key, value in today.items():
        other = replace(_RECIPE, train=replace(_RECIPE.train, **{key: value}))
        kept = getattr(_RECIPE.train, key)
        with pytest.raises(BadData, match=f"another recipe: train.{key} was {kept} and is {value};"):
            _run(other, tmp_path).restore()
    other = replace(_RECIPE, model=AttentionUNet(widths=(2, 4), brain=False))
    with pytest.raises(BadData, match=r"another recipe: model.norm was instance and is batch;"):
        _run(other, tmp_path).restore()


def test_settings_that_change_no_result_may_change(tmp_path: Path) -> None:
    _run(_RECIPE, tmp_path).save()
    other = replace(_RECIPE, train=replace(_RECIPE.train, minutes=9.0, compile=True, recompute=True, validations=3))
    assert _run(other, tmp_path).restore()
    with pytest.raises(BadData, match=r"another recipe: name was small and is large;"):
        _run(replace(other, name="large"), tmp_path).restore()


def test_without_a_state_nothing_is_restored(tmp_path: Path) -> None:
    assert not _run(_RECIPE, tmp_path).restore()


@pytest.mark.parametrize(("crop", "window", "warned"), [(8, 12, True), (12, 12, False), (8, 0, False), (16, 96, False)])
def test_crops_smaller_than_the_windows_of_squeeze_and_excitation_are_warned_of(
    crop: int, window: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole box, as the last crop is, may be smaller than a window."""
    model = SEUNet(widths=(2, 4), reduction=1, norm="instance", stem="full", brain=False, squeeze_window=window)
    _run(replace(_RECIPE, model=model, train=replace(_RECIPE.train, crop=(16, 16, crop))), tmp_path)
    assert ("model.squeeze_window=12" in caplog.text) is warned
    assert len(caplog.records) == warned


def test_the_weights_it_began_from_are_remembered(tmp_path: Path) -> None:
    """A run that goes on without naming them keeps them on its card; with others it does not go on."""
    cases = CaseSet(names=("a",), images=(torch.rand(_BOX).half(),), masks=(torch.ones(_BOX) > 0,), fingerprint="a")
    starts = []
    for seed, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        _run(replace(_RECIPE, name=name, train=replace(_RECIPE.train, seed=seed)), tmp_path / name).save()
        starts.append(load_weights(str(tmp_path / name)))
    (run_folder := tmp_path / "run").mkdir()
    Run(_RECIPE, cases, run_folder, start=starts[0], world=World()).save()
    for start in (None, starts[0]):
        run = Run(_RECIPE, cases, run_folder, start=start, world=World())
        assert run.restore()
        run.save()
        assert load_weights(str(run_folder)).card.provenance["started_from"]["sha256"] == starts[0].sha256
    with pytest.raises(BadData, match="did not start from these weights"):
        Run(_RECIPE, cases, run_folder, start=starts[1], world=World()).restore()
    (fresh := tmp_path / "fresh").mkdir()
    Run(_RECIPE, cases, fresh, start=None, world=World()).save()
    with pytest.raises(BadData, match="did not start from these weights"):
        Run(_RECIPE, cases, fresh, start=starts[1], world=World()).restore()
