"""Whole cases, scored as `insula evaluate` scores them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from insula.config import AttentionUNet
from insula.metrics import dice_score, match_lesions
from insula.models import build_model
from insula.store import CaseSet
from insula.train import World
from insula.train.validate import validate


def test_the_figures_are_those_of_the_metrics_on_whole_volumes() -> None:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), norm="instance", stem="full")).train()
    images = tuple(torch.randn(16, 16, 16).half() for _ in range(3))
    masks = (images[0] > 0.5, images[1] > 1.5, torch.zeros(16, 16, 16, dtype=torch.bool))
    cases = CaseSet(names=("a", "b", "c"), images=images, masks=masks, fingerprint="three")
    validation = validate(model, cases, dtype=torch.float32, spacing_mm=1.0, world=World())
    assert model.training
    model.eval()
    with torch.no_grad():
        logits = [model(image.float()[None, None])[0] for image in images]
        predicted = [((lesion > 0) & (brain > 0)).numpy() for lesion, brain in logits]
    pairs = [(mask.numpy(), prediction) for mask, prediction in zip(masks, predicted, strict=True)]
    assert validation.dice == pytest.approx(sum(dice_score(*pair) for pair in pairs[:2]) / 2)
    assert validation.f1 == pytest.approx(sum(match_lesions(*pair).f1_any for pair in pairs[:2]) / 2)
    assert (validation.low, validation.high, validation.basis) == (None, None, "n = 2, too few for an interval")
    assert validation.cases == 3
    assert validation.empty == float(not pairs[2][1].any())
    assert validation.false_ml == pytest.approx(pairs[2][1].sum() / 1000)
    assert [case.scan.name for case, _ in validation.samples] == ["a", "b"]  # the third has no lesion
    for (case, mask), (truth, prediction) in zip(validation.samples, pairs, strict=False):
        assert np.array_equal(case.truth.voxels, truth)
        assert np.array_equal(mask.voxels, prediction)
    assert validation.brain is None
    brains = [(image > 0).to(torch.int8) for image in images]
    brains[1] = torch.full_like(brains[1], -1)  # not known
    known = replace(cases, brains=tuple(brains))
    judged = validate(model, known, dtype=torch.float32, spacing_mm=1.0, world=World())
    wanted = [dice_score((brains[n] > 0).numpy(), (logits[n][1] > 0).numpy()) for n in (0, 2)]
    assert judged.brain == pytest.approx(sum(wanted) / 2)
    assert judged.figures["brain"] == judged.brain
