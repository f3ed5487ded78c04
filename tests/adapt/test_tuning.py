"""The recipe of an adaptation, and cases as the network sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from adapt.scans import labelled
from insula.adapt import adapted_recipe, case_set
from insula.checkpoint import load_weights
from insula.config import AdaptConfig, SEUNet, TrainConfig

_CPU = torch.device("cpu")


def test_the_losses_are_those_of_the_weights_own_training(tiny_weights: Path) -> None:
    card = load_weights(str(tiny_weights)).card
    assert adapted_recipe(card, AdaptConfig(), _CPU, simulated=False).train.losses == TrainConfig().losses
    own = replace(card, provenance={"recipe": {"train": {"losses": [[0.5, "dice"], [0.5, "focal"]]}}})
    recipe = adapted_recipe(own, AdaptConfig(steps=7, lr=3e-5, seed=4), _CPU, simulated=True)
    assert recipe.train.losses == ((0.5, "dice"), (0.5, "focal"))
    assert (recipe.train.steps, recipe.train.lr, recipe.train.seed) == (7, 3e-5, 4)
    assert recipe.name == "tiny-adapted"
    assert recipe.augment.synthetic_fraction == 0.5
    assert not recipe.augment.synthetic_painted


def test_crops_are_smaller_on_a_processor(tiny_weights: Path) -> None:
    card = load_weights(str(tiny_weights)).card
    on_cpu, on_gpu = (
        adapted_recipe(card, AdaptConfig(), torch.device(name), simulated=False).train for name in ("cpu", "cuda")
    )
    assert on_cpu.batch * on_cpu.crop[0] ** 3 < 0.2 * on_gpu.batch * on_gpu.crop[0] ** 3


def test_crops_are_no_smaller_than_the_windows_of_squeeze_and_excitation(tiny_weights: Path) -> None:
    card = load_weights(str(tiny_weights)).card
    windows = replace(card, model=SEUNet(squeeze_window=80))
    assert adapted_recipe(windows, AdaptConfig(), _CPU, simulated=False).train.crop == (80, 80, 80)
    whole = replace(card, model=SEUNet(squeeze_window=0))
    assert adapted_recipe(whole, AdaptConfig(), _CPU, simulated=False).train.crop == (64, 64, 64)
    assert adapted_recipe(windows, AdaptConfig(), torch.device("cuda"), simulated=False).train.crop == (96, 96, 96)


def test_cases_are_prepared_as_at_inference(tiny_weights: Path) -> None:
    config = load_weights(str(tiny_weights)).card.prepare
    scans = labelled(3)
    cases = case_set(scans, config)
    assert cases.names == ("sub-00_T1w", "sub-01_T1w", "sub-02_T1w")
    assert cases.subjects == ("00", "01", "02")
    assert cases.images[0].shape == config.box
    for read, mask in zip(scans.values(), cases.masks, strict=True):
        assert abs(int(mask.sum()) - int(read().truth.voxels.sum())) <= 1  # the box keeps 4 mm voxels
    assert case_set(scans, config).fingerprint == cases.fingerprint
    assert case_set(labelled(3, shuffled=True), config).fingerprint != cases.fingerprint
