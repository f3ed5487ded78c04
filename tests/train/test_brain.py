"""The brain output is learned where the brain is known, kept where weights know it, and left out where nobody does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from insula.checkpoint import Weights, load_weights
from insula.config import AttentionUNet, AugmentConfig, PrepareConfig, Recipe, TrainConfig
from insula.losses import brain_loss
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train import train
from simulate.hosts import ball_outline, small_host

_BOX = (16, 16, 16)


def _recipe(**options: object) -> Recipe:
    settings = {
        "steps": 30,
        "batch": 2,
        "crop": _BOX,
        "lr": 1e-2,
        "recalibrate": 0,
        "device": "cpu",
        "compile": False,
        **options,
    }
    off = AugmentConfig(deform_fraction=0, scan_fraction=0, strip_fraction=0, graft_fraction=0)
    return Recipe(
        name="small",
        model=AttentionUNet(widths=(4, 8), norm="instance", stem="full"),
        prepare=PrepareConfig(box=_BOX),
        augment=off,
        train=TrainConfig(**settings),  # type: ignore[arg-type]
    )


@pytest.fixture
def cases() -> CaseSet:
    """Bright brains with a brighter lesion."""
    generator = torch.Generator().manual_seed(0)
    images, masks, brains = [], [], []
    for n in range(4):
        brain, lesion = torch.zeros(2, *_BOX)
        brain[3:13, 3:13, 2:12], lesion[5:8, 4 + n : 8 + n, 5:8] = 1, 1
        images.append((brain + lesion + 0.1 * torch.randn(_BOX, generator=generator)).half())
        masks.append(lesion > 0)
        brains.append(brain.to(torch.int8))
    return CaseSet(names=tuple("abcd"), images=tuple(images), masks=tuple(masks), brains=tuple(brains), fingerprint="4")


def _brain_loss(weights: Weights, cases: CaseSet) -> float:
    images = torch.stack(cases.images).float()[:, None]
    with torch.no_grad():
        return float(brain_loss(weights.model(images)[:, 1:], torch.stack(cases.brains).float()[:, None]))


def test_known_brains_are_learned(cases: CaseSet, tmp_path: Path) -> None:
    train(_recipe(), cases, tmp_path)
    weights = load_weights(str(tmp_path / "small.json"))
    assert weights.card.model.brain
    assert _brain_loss(weights, cases) < 0.45  # chance is 0.69


def test_a_cohort_without_brains_trains_a_network_without_that_output(cases: CaseSet, tmp_path: Path) -> None:
    shapes = (ball_outline(),)
    maps = Sources(hosts=(small_host(),), acute=shapes, chronic=shapes, fingerprint="maps")  # of which none is painted
    for brains, painted_from in (((), None), (tuple(torch.full_like(brain, -1) for brain in cases.brains), maps)):
        folder = tmp_path / f"with{len(brains)}"
        folder.mkdir()
        train(_recipe(), replace(cases, brains=brains, painted_from=painted_from), folder)
        weights = load_weights(str(folder / "small.json"))
        assert not weights.card.model.brain
        assert weights.model(cases.images[0].float()[None, None]).shape[1] == 1
        train(_recipe(), replace(cases, brains=brains), folder, resume=True)  # it is the same recipe


@pytest.mark.long
def test_fine_tuning_keeps_the_brain_that_the_weights_know(cases: CaseSet, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    train(_recipe(steps=60), cases, tmp_path / "one")
    start = load_weights(str(tmp_path / "one" / "small.json"))
    before = _brain_loss(start, cases)
    train(_recipe(steps=60), replace(cases, brains=()), tmp_path / "two", start=start)
    tuned = load_weights(str(tmp_path / "two" / "small.json"))
    assert tuned.card.model.brain
    assert _brain_loss(tuned, cases) < 1.5 * before
    train(_recipe(steps=60, brain_weight=0.0), replace(cases, brains=()), tmp_path / "three", start=start)
    assert _brain_loss(load_weights(str(tmp_path / "three" / "small.json")), cases) > _brain_loss(tuned, cases)


def test_unknown_voxels_cost_nothing_and_known_ones_their_cross_entropy() -> None:
    logits = torch.randn(2, 1, 6, 6, 6)
    brain = (torch.rand(2, 1, 6, 6, 6) > 0.5).float()
    whole = torch.nn.functional.binary_cross_entropy_with_logits(logits, brain)
    torch.testing.assert_close(brain_loss(logits, brain), whole)
    half = brain.clone()
    half[1] = -1
    first = torch.nn.functional.binary_cross_entropy_with_logits(logits[:1], brain[:1])
    torch.testing.assert_close(brain_loss(logits, half), first)
    assert float(brain_loss(logits, torch.full_like(brain, -1))) == 0
