"""Simulated patients: repeatable, their truth inside the brain, controls empty, one truth for crop and whole head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from insula.augment import (
    Augmenter,
    Given,
    Original,
    OutlineSet,
    carry_out,
    demo_case,
    draw_head,
    look_at,
    place,
    simulate_head,
)
from insula.config import SimulateConfig
from insula.simulate import Lacune, ScannerLook, Tissue
from insula.simulate.anatomy import BRAIN
from simulate.hosts import ball_outline, small_host

_CPU = torch.device("cpu")
_PLAIN = SimulateConfig(control_fraction=0, lacune_fraction=0, confounders=0, strip_fraction=0, deface_fraction=0)


def host(*, image: bool = True) -> Original:
    return small_host(image=image)


def outlines(radius_mm: float = 20.0) -> OutlineSet:
    return OutlineSet(acute=(ball_outline(radius_mm),), chronic=(ball_outline(radius_mm - 4),))


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 6))])
def test_a_head_repeats_and_its_lesion_lies_in_the_brain(seed: int) -> None:
    case, drawn = host(), outlines()
    a, b = (
        simulate_head(case, drawn, SimulateConfig(control_fraction=0), np.random.default_rng(seed), Given(numbers=(0,)))
        for _ in range(2)
    )
    assert torch.equal(a.image, b.image)
    assert torch.equal(a.truth, b.truth)
    assert a.plan == b.plan
    assert a.truth.sum() > 50
    assert not (a.truth.bool() & (a.brain < 0.5)).any()
    assert set(a.brain.unique().tolist()) == {0.0, 1.0}
    assert torch.isfinite(a.image).all()
    assert float(a.image.min()) >= 0


def test_without_outlines_it_is_a_control() -> None:
    head = simulate_head(host(), outlines(), SimulateConfig(), np.random.default_rng(0), Given(numbers=()))
    assert head.phase == "control"
    assert not head.truth.any()
    assert head.brain.any()


@pytest.mark.parametrize("seed", range(4))
def test_a_crop_and_the_whole_head_have_one_truth(seed: int) -> None:
    """The same plan, cut before or after: the truth, the brain and, away from the rim, the image are the same."""
    case, drawn = host(), outlines()
    config = replace(_PLAIN, strip_fraction=float(seed % 2))
    plan = draw_head(
        np.random.default_rng(seed), case, drawn, config, Given(numbers=(0,), scanner=ScannerLook(), deform=False)
    )
    assert plan.lesions is not None
    plan = replace(
        plan,
        lesions=replace(plan.lesions, look=Lacune(inset_mm=0.3, border_mm=0.3, texture=0.0, level=0.3, cavity=False)),
    )
    whole = carry_out(case, plan, drawn)
    start, crop = (8, 16, 8), (48, 40, 48)
    part = Augmenter(_CPU, heads=True, grafts=3)([case], [plan], starts=[start], crop=crop, outlines=drawn.all)
    window = tuple(slice(a, a + n) for a, n in zip(start, crop, strict=True))
    assert torch.equal(part.truth[0], whole.truth[window])
    assert torch.equal(part.brain[0], whole.brain[window])
    inner = tuple(slice(12, n - 12) for n in crop)
    assert float((part.image[0][inner] - whole.image[window][inner]).abs().mean()) < 0.02


def test_heads_of_one_batch_do_not_mix() -> None:
    case, painted, drawn = host(), host(image=False), outlines()
    plans = [
        draw_head(np.random.default_rng(n), original, drawn, SimulateConfig(), Given(numbers=numbers))
        for n, (original, numbers) in enumerate([(case, (0, 1)), (painted, ()), (case, (20,))])
    ]
    crop, starts = (32, 32, 32), [(10, 20, 16), (0, 0, 0), (20, 30, 20)]
    originals = [case, painted, case]
    together = Augmenter(_CPU, heads=True, grafts=2)(originals, plans, starts=starts, crop=crop, outlines=drawn.all)
    for n in range(3):
        alone = Augmenter(_CPU, heads=True, grafts=2)(
            [originals[n]], [plans[n]], starts=[starts[n]], crop=crop, outlines=drawn.all
        )
        assert torch.allclose(together.image[n], alone.image[0], atol=1e-4)
        assert torch.equal(together.brain[n], alone.brain[0])
        assert torch.allclose(together.sample[n], alone.sample[0], atol=1e-4)
        assert float((together.truth[n] - alone.truth[0]).abs().sum()) <= 2


def test_most_of_an_outline_in_the_brain_is_kept_in_one_piece() -> None:
    from insula.geometry import label_components

    case, drawn = host(), outlines(12.0)
    for seed in range(5):
        plan = draw_head(
            np.random.default_rng(seed), case, drawn, _PLAIN, Given(numbers=(0,), scanner=ScannerLook(), deform=False)
        )
        truth = carry_out(case, plan, drawn).truth
        assert label_components(truth.numpy() > 0)[1] == 1


def test_the_unfamiliar_head_differs_in_its_lesion_alone() -> None:
    case, drawn, config = host(), outlines(), _PLAIN
    plan = draw_head(np.random.default_rng(3), case, drawn, config, Given(numbers=(0,), scanner=ScannerLook()))
    familiar, unfamiliar_head = (carry_out(case, plan, drawn, unfamiliar=unfamiliar) for unfamiliar in (False, True))
    assert familiar.truth.sum() > 100
    assert torch.equal(familiar.truth, unfamiliar_head.truth)
    wide = torch.nn.functional.max_pool3d(familiar.truth[None, None], 13, stride=1, padding=6)[0, 0] > 0
    assert torch.allclose(familiar.image[~wide], unfamiliar_head.image[~wide], atol=1e-4)
    assert not torch.allclose(familiar.image[familiar.truth > 0], unfamiliar_head.image[familiar.truth > 0], atol=0.05)


def test_stripping_leaves_nothing_far_outside_the_brain() -> None:
    config = replace(_PLAIN, strip_fraction=1.0)
    case = host()
    head = simulate_head(case, outlines(), config, np.random.default_rng(3), Given(numbers=()))
    brain = float(head.brain.mean())
    assert float((head.image > 0.2).float().mean()) < 2 * brain


def test_defacing_takes_the_lower_front_away_and_no_brain() -> None:
    case = replace(host(), image=torch.ones(64, 72, 64))  # tissue out to the rim
    case.__dict__["levels"] = host().levels
    looks = []
    for share in (0.0, 1.0):
        config = replace(_PLAIN, deface_fraction=share)
        plan = draw_head(
            np.random.default_rng(3), case, outlines(), config, Given(numbers=(), scanner=ScannerLook(), deform=False)
        )
        looks.append(carry_out(case, plan, outlines()))
    gone = (looks[0].image > 0.05) & (looks[1].image == 0)
    assert gone.sum() > 100
    assert not gone[:, :36].any()
    assert not gone[:, :, 32:].any()
    assert not (gone & (looks[1].brain > 0)).any()


def test_a_painted_head_shows_its_tissues() -> None:
    case = host(image=False)
    plan = draw_head(
        np.random.default_rng(5), case, outlines(), _PLAIN, Given(numbers=(), scanner=ScannerLook(), deform=False)
    )
    assert plan.paint is not None
    image = carry_out(case, plan, outlines()).image
    for kind in (Tissue.WHITE, Tissue.CORTEX):
        inside = case.codes == kind
        assert float(image[inside].median()) == pytest.approx(plan.paint.palette[kind], abs=0.12)


def test_lacunes_lie_deep_and_look_like_lacunes() -> None:
    case, drawn = host(), outlines()
    config = replace(_PLAIN, lacune_fraction=1.0)
    plan = draw_head(np.random.default_rng(0), case, drawn, config)
    assert plan.lesions is not None
    assert isinstance(plan.lesions.look, Lacune)
    assert all(graft.outline in drawn.ovoids for graft in plan.lesions.grafts)
    brain = torch.isin(case.codes, torch.tensor(BRAIN, dtype=torch.uint8)).numpy()
    for points in look_at(plan, drawn):
        assert brain[tuple(np.clip(points, 0, np.array(case.box) - 1).T)].mean() > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_placement_lies_in_the_brain(seed: int) -> None:
    case, outline = host(), ball_outline(10.0)
    matrix = place(np.random.default_rng(seed), case, outline, deep=False)
    back = np.linalg.inv(matrix)
    there = np.rint(outline.points @ back[:3, :3].T + back[:3, 3]).astype(int)
    codes = case.codes.numpy()[tuple(np.clip(there, 0, np.array(case.box) - 1).T)]
    assert np.isin(codes, BRAIN).mean() > 0.8


def test_the_small_outlines_are_those_under_ten_millilitres() -> None:
    small, large = ball_outline(8.0), ball_outline(20.0)
    assert OutlineSet(acute=(large,), chronic=(small,)).small == (1,)


def test_a_cohort_of_one_kind_of_outlines_is_enough() -> None:
    drawn = OutlineSet(acute=(), chronic=(ball_outline(),))
    plan = draw_head(np.random.default_rng(1), host(), drawn, _PLAIN)
    assert plan.lesions is not None
    assert plan.lesions.grafts[0].outline == 0


@pytest.mark.long
def test_the_demo_subject_has_an_infarct_darker_than_its_brain() -> None:
    case = demo_case()
    assert 5 < case.truth.volume_ml < 60
    inside, outside = case.scan.image[case.truth.voxels], case.scan.image[case.scan.image > 300]
    assert np.median(inside) < 0.75 * np.median(outside)


@pytest.mark.soak
def test_compiled_work_is_the_work() -> None:
    case, drawn = host(), outlines()
    plans = [draw_head(np.random.default_rng(n), case, drawn, SimulateConfig(), Given(numbers=(n,))) for n in range(2)]
    place = {"starts": [(10, 20, 16), (4, 9, 8)], "crop": (16, 16, 16), "outlines": drawn.all}
    plain, compiled = (
        Augmenter(_CPU, heads=True, grafts=1, compile=compile)([case] * 2, plans, **place)  # type: ignore[arg-type]
        for compile in (False, True)
    )
    for a, b in zip(plain, compiled, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
