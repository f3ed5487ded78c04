"""Plans: drawn, printed, replayed; image and mask move together; nothing folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from insula.augment import Augmentation, Augmenter, Graft, LesionGrafts, Original, Paint, augment
from insula.augment.graft import within_box
from insula.config import AugmentConfig, PrepareConfig
from insula.prepare import measure, measure_each
from insula.simulate import (
    Acute,
    Artefacts,
    Chronic,
    Confounders,
    Deformation,
    Haemorrhagic,
    Lacune,
    Laminar,
    Outline,
    ScannerLook,
    Subacute,
    phantom_case,
)
from insula.simulate.deform import carry_all, deformed_indices
from insula.simulate.fields import look_up
from insula.simulate.phantom import phantom_grid

_OFF = AugmentConfig(deform_fraction=0, scan_fraction=0, artefact_chance=0, strip_fraction=0, graft_fraction=0)
_ALL = AugmentConfig(deform_fraction=1, scan_fraction=1, artefact_chance=1, strip_fraction=1, graft_fraction=1)
_CPU = torch.device("cpu")


def _whole(
    image: torch.Tensor, truth: torch.Tensor, plans: list[Augmentation], donors: list[torch.Tensor] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plans on one whole case."""
    original = Original(image, truth.bool())
    i, j, k = image.shape
    starts = [(0, 0, 0)] * len(plans)
    augmented = augment(
        [original] * len(plans), plans, starts=starts, crop=(i, j, k), outlines=outlines_of(donors or [])
    )
    return augmented.image, augmented.truth


def outlines_of(masks: list[torch.Tensor]) -> list[Outline]:
    """Masks of whole cases, as a cohort's outlines."""
    return [Outline(name="mask", voxels=mask.bool(), origin_mm=(0.0, 0.0, 0.0)) for mask in masks]


def sampled(seed: object, config: AugmentConfig, truth: torch.Tensor | None) -> Augmentation:
    """A plan for the phantom; with a truth, it may graft that."""
    box = (48, 56, 48) if truth is None else tuple(truth.shape)
    some = [] if truth is None else outlines_of([truth])
    return Augmentation.sample(np.random.default_rng(seed), config, box=box, outlines=some)  # type: ignore[arg-type]


def lesions(look: object, truth: torch.Tensor, move: Deformation = Deformation()) -> LesionGrafts:
    """One graft of a mask of the same box."""
    i, j, k = truth.shape
    graft = Graft(outline=0, placement=within_box(move, (i, j, k)))
    return LesionGrafts(
        grafts=(graft,),
        look=look,
        cells_mm=(2.5, 4.0, 12.0),
        volume_ml=float(truth.sum()) / 1000,
        seed=1,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def head() -> tuple[torch.Tensor, torch.Tensor]:
    """A phantom head of 48 x 56 x 48 voxels with lesions, and its truth."""
    case = phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0)))
    return torch.tensor(case.scan.image), torch.tensor(case.truth.voxels).float()


def test_a_plan_of_nothing_only_sets_the_unit(head: tuple[torch.Tensor, torch.Tensor]) -> None:
    image, truth = head
    changed, same = _whole(image, truth, [Augmentation()])
    assert torch.equal(same[0], truth)
    assert float(changed.min()) == 0
    ratio = changed[0][image > 100] / (image - image.min())[image > 100]
    assert float(ratio.std()) < 1e-6 * float(ratio.mean()) + 1e-9
    assert sampled(0, _OFF, truth) == Augmentation()


def test_the_same_plan_gives_the_same_bits_and_prints_what_it_does(head: tuple[torch.Tensor, torch.Tensor]) -> None:
    image, truth = head
    plans = [sampled(5, _ALL, truth) for _ in range(2)]
    assert plans[0] == plans[1]
    names = {
        n.__name__: n
        for n in (
            Augmentation,
            Graft,
            LesionGrafts,
            Paint,
            Deformation,
            Confounders,
            ScannerLook,
            Artefacts,
            Acute,
            Chronic,
            Subacute,
            Laminar,
            Haemorrhagic,
            Lacune,
        )
    }
    assert eval(repr(plans[0]), dict(names)) == plans[0]
    first, second = (_whole(image, truth, [plan], [truth]) for plan in plans)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_an_item_does_not_depend_on_the_rest_of_its_batch(head: tuple[torch.Tensor, torch.Tensor]) -> None:
    image, truth = head
    plans = [sampled(n, _ALL, truth) for n in range(3)]
    together = _whole(image, truth, plans, [truth])
    for n, plan in enumerate(plans):
        alone = _whole(image, truth, [plan], [truth])
        assert torch.allclose(together[0][n], alone[0][0], atol=1e-4)
        assert float((together[1][n] - alone[1][0]).abs().sum()) <= 2  # a voxel on the edge of a half may round


@pytest.mark.parametrize("seed", range(10))
def test_work_that_others_need_changes_nothing(seed: int, head: tuple[torch.Tensor, torch.Tensor]) -> None:
    """A batch goes through every kind of work that one of its items needs."""
    image, truth = head
    half = AugmentConfig(
        deform_fraction=0.5, scan_fraction=0.5, artefact_chance=0.5, strip_fraction=0.5, graft_fraction=0.5
    )
    original, crop = Original(image, truth.bool()), (32, 40, 36)
    plans = [sampled((seed, n), half, truth) for n in range(3)]
    starts = [(0, 0, 0), (16, 16, 12), (8, 3, 5)]
    together = augment([original] * 3, plans, starts=starts, crop=crop, outlines=outlines_of([truth]))
    for n, (plan, start) in enumerate(zip(plans, starts, strict=True)):
        alone = augment([original], [plan], starts=[start], crop=crop, outlines=outlines_of([truth]))
        assert torch.allclose(together.image[n], alone.image[0], atol=1e-4)
        assert torch.allclose(together.sample[n], alone.sample[0], atol=1e-4)
        assert float((together.truth[n] - alone.truth[0]).abs().sum()) <= 2


@pytest.mark.parametrize("seed", range(8))
def test_masks_stay_binary_and_images_finite_and_positive(seed: int, head: tuple[torch.Tensor, torch.Tensor]) -> None:
    image, truth = head
    plan = sampled(seed, _ALL, truth)
    changed, moved = _whole(image, truth, [plan], [truth])
    assert set(moved.unique().tolist()) <= {0.0, 1.0}
    assert torch.isfinite(changed).all()
    assert float(changed.min()) >= 0
    assert moved.any()


@pytest.mark.parametrize("seed", range(6))
def test_image_and_mask_move_together(seed: int, head: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The mask of a bright ball is where the ball is, whatever the deformation."""
    place = torch.stack(torch.meshgrid(*[torch.arange(n) for n in head[1].shape], indexing="ij")).float()
    ball = ((place - torch.tensor([30.0, 20.0, 26.0]).view(3, 1, 1, 1)).square().sum(0) < 64).float()
    plan = Augmentation(deformation=Deformation.sample(np.random.default_rng(seed), shift_mm=3.0))
    changed, moved = _whole(ball, ball, [plan])
    seen = changed[0] > changed[0].max() / 2
    agree = 2 * float((seen & (moved[0] > 0)).sum()) / float(seen.sum() + moved.sum())
    assert agree > 0.97
    assert not torch.equal(moved[0], ball)


@pytest.mark.parametrize("seed", range(12))
def test_a_graft_comes_down_where_its_outline_was(seed: int) -> None:
    """A crop is laid around the donor's outline, so most of what is grafted has to fall into it."""
    box = (96, 112, 88)
    outline = torch.zeros(box, dtype=torch.bool)
    outline[18:30, 40:56, 40:52] = True  # to one side
    plan = LesionGrafts.sample(np.random.default_rng(seed), outlines_of([outline]), box)
    index = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in box], indexing="ij"))
    placement = torch.tensor(plan.grafts[0].placement)[None]
    placed = look_up(outline[None], carry_all(placement, index[None])[0])[0] > 0.5
    window = (slice(0, 48), slice(24, 72), slice(22, 70))
    assert float(placed[window].sum()) > 0.6 * float(outline.sum())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), strength=st.floats(0.2, 1.0))
def test_no_sampled_deformation_folds(seed: int, strength: float) -> None:
    """The Jacobian's determinant is positive everywhere (negative everywhere where left and right are exchanged)."""
    shape = (48, 40, 44)
    deformation = Deformation.sample(np.random.default_rng(seed), strength=strength)
    index = deformed_indices([deformation], shape, device=_CPU)[0]
    rows = torch.stack([torch.stack(torch.gradient(component)) for component in index])
    jacobian = torch.linalg.det(rows.permute(2, 3, 4, 0, 1)) * (-1 if deformation.mirror else 1)
    assert float(jacobian.min()) > 0


def test_a_graft_adds_a_lesion_inside_the_brain_and_changes_nothing_else(
    head: tuple[torch.Tensor, torch.Tensor],
) -> None:
    healthy = phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0)), ())
    clean = torch.tensor(healthy.scan.image)
    outline = head[1]
    look = Lacune(inset_mm=0.3, border_mm=0.4, texture=0.0, level=0.25, cavity=True)
    plan = Augmentation(lesions=lesions(look, outline))
    plain, _ = _whole(clean, torch.zeros_like(clean), [Augmentation()])
    changed, truth = _whole(clean, torch.zeros_like(clean), [plan], [outline])
    assert 5 <= float(truth.sum()) <= float(outline.sum())
    assert not (truth[0].bool() & ~outline.bool()).any()
    inside = truth[0] > 0
    assert float((plain[0] - changed[0])[inside].mean()) > 0.05  # darker than it was
    reach = torch.nn.functional.max_pool3d(truth, 7, stride=1, padding=3)[0] > 0
    assert torch.allclose(plain[0][~reach], changed[0][~reach], atol=1e-5)


def test_a_graft_where_there_is_no_brain_is_left_out(head: tuple[torch.Tensor, torch.Tensor]) -> None:
    image, truth = head
    corner = torch.zeros_like(truth)
    corner[:6, :6, :6] = 1
    plan = Augmentation(lesions=lesions(Acute.sample(np.random.default_rng(1)), corner))
    changed, same = _whole(image, truth, [plan], [corner])
    assert torch.equal(same[0], truth)
    apart = (changed - _whole(image, truth, [Augmentation()])[0]).abs()
    assert float(apart.mean()) < 1e-3  # the air beside it may move


@pytest.mark.parametrize("config", [_OFF, replace(_OFF, strip_fraction=1), replace(_OFF, graft_fraction=1)])
def test_a_crop_is_a_part_of_the_whole(config: AugmentConfig, head: tuple[torch.Tensor, torch.Tensor]) -> None:
    """What does not depend on where the middle is comes out as if the whole case had been augmented and cut after."""
    image, truth = head
    plan = sampled(2, config, truth)
    if plan.lesions is not None:  # the look's noises are drawn for a crop
        look = Lacune(inset_mm=0.3, border_mm=0.4, texture=0.0, level=0.7, cavity=False)
        plan = replace(plan, lesions=replace(plan.lesions, look=look))
    whole = _whole(image, truth, [plan], [truth])
    start, crop = (8, 10, 4), (32, 36, 40)
    part = augment([Original(image, truth.bool())], [plan], starts=[start], crop=crop, outlines=outlines_of([truth]))
    window = tuple(slice(a + 6, a + n - 6) for a, n in zip(start, crop, strict=True))
    inner = tuple(slice(6, n - 6) for n in crop)  # at the rim of a crop, blurs see no farther
    assert torch.allclose(part[0][0][inner], whole[0][0][window], atol=1e-4)
    assert float((part[1][0][inner] - whole[1][0][window]).abs().mean()) < 1e-3


def test_a_turned_crop_reads_what_lies_outside_it() -> None:
    """A crop from the middle of a box without an edge has none after a turn either."""
    flat = torch.ones(48, 48, 48)
    flat[0] = 0  # so that there is air
    plan = Augmentation(deformation=Deformation(rotation_deg=(30.0, 0.0, 0.0)))
    image = augment([Original(flat, flat > 2)], [plan], starts=[(14, 14, 14)], crop=(20, 20, 20)).image
    assert torch.allclose(image, torch.ones_like(image), atol=1e-5)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 6))])
def test_the_sample_of_a_plan_is_what_its_whole_head_shows(seed: int) -> None:
    """A crop is normalised by the sample as its whole head would be."""
    image = torch.tensor(phantom_case(phantom_grid(spacing_mm=(1.5, 1.5, 1.5)), ()).scan.image)
    truth = torch.zeros_like(image)
    config = replace(_ALL, deform_fraction=0, graft_fraction=0, artefact_chance=0, strip_fraction=seed % 2)
    plan = sampled(seed, config, None)
    assert plan.scanner is not None
    if seed % 2 == 0:
        plan = replace(plan, scanner=replace(plan.scanner, spin_echo=1.0, slice_mm=1.0, blur_mm=0.3))
    original, (i, j, k) = Original(image, truth.bool()), image.shape
    augmented = augment([original], [plan], starts=[(0, 0, 0)], crop=(i, j, k))
    exact = measure(augmented.image[0], PrepareConfig())
    middle, width, _ = measure_each(augmented.sample, PrepareConfig())[0].tolist()
    assert middle == pytest.approx(exact.middle, abs=0.05 * exact.width)
    assert width == pytest.approx(exact.width, rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_shows_what_a_processor_shows(head: tuple[torch.Tensor, torch.Tensor]) -> None:
    """But for noise, whose source is another there: the scanner's, and the elastic part's."""
    plans = [sampled(n, replace(_ALL, artefact_chance=0), None) for n in range(3)]
    plans = [
        replace(
            plan,
            scanner=replace(plan.scanner, noise=0.0),
            deformation=replace(plan.deformation, elastic_mm=0.0),  # type: ignore[type-var]
        )
        for plan in plans
    ]
    cases = [Original(head[0].to(device), head[1].bool().to(device)) for device in ("cpu", "cuda")]
    on_cpu, on_gpu = (augment([case] * 3, plans, starts=[(4, 6, 2)] * 3, crop=(40, 40, 40)) for case in cases)
    assert float((on_cpu.image - on_gpu.image.cpu()).abs().mean()) < 1e-3
    assert float((on_cpu.truth - on_gpu.truth.cpu()).abs().mean()) < 1e-4
    torch.testing.assert_close(on_cpu.sample, on_gpu.sample.cpu(), rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_recorded_work_is_the_work_and_never_waits(head: tuple[torch.Tensor, torch.Tensor]) -> None:
    cases = [
        Original(head[0].cuda(), head[1].bool().cuda()),
        Original(2 * head[0].cuda(), head[1].flip(0).bool().cuda()),
    ]
    configs = [_ALL, replace(_ALL, graft_fraction=0.3, strip_fraction=0.3, artefact_chance=0.3, deform_fraction=0.7)]
    recorded, outlines = Augmenter(torch.device("cuda")), outlines_of([case.mask for case in cases])
    drawn = []
    for n in range(60):
        plans = [
            Augmentation.sample(np.random.default_rng((n, m)), configs[n % 2], box=cases[0].box, outlines=outlines)
            for m in range(2)
        ]
        order, starts = cases[:: 1 - 2 * (n // 2 % 2)], [(n % 7, 6, 2), (4, n % 9, 1)]
        drawn.append((order, plans, {"starts": starts, "crop": (40, 40, 40), "outlines": outlines}))
    for order, plans, place in drawn:
        recorded(order, plans, **place)  # type: ignore[arg-type]
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = [recorded(order, plans, **place) for order, plans, place in drawn]  # type: ignore[arg-type]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for (order, plans, place), batch in zip(drawn, batches, strict=True):
        other = augment(order, plans, **place)  # type: ignore[arg-type]
        for a, b in zip(batch, other, strict=True):
            torch.testing.assert_close(a, b)
