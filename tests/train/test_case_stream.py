"""Training on a cohort: every case once an epoch, augmented as drawn, the same again when asked again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from insula.checkpoint import hashed, load_weights
from insula.config import AttentionUNet, AugmentConfig, PrepareConfig, Recipe, SimulateConfig, TrainConfig
from insula.errors import BadData, Preempted, UsageError
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train import CaseStream, HeadStream, case_stream, train
from simulate.hosts import ball_outline, small_host

_CPU = torch.device("cpu")
_OFF = AugmentConfig(deform_fraction=0, scan_fraction=0, strip_fraction=0, graft_fraction=0)


def _recipe(augment: AugmentConfig = _OFF, **options: object) -> Recipe:
    train_options = {"steps": 6, "batch": 2, "crop": (32, 32, 32), "recalibrate": 0, "compile": False, **options}
    return Recipe(
        name="small",
        model=AttentionUNet(widths=(4, 8), norm="instance", stem="full"),
        prepare=PrepareConfig(box=(32, 32, 32)),
        augment=augment,
        train=TrainConfig(**train_options),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    """Five noisy boxes of brightness 1 to 5, each with a lesion of as many planes."""
    generator = torch.Generator().manual_seed(0)
    images = tuple((torch.rand(32, 32, 32, generator=generator) + n + torch.arange(32.0)).half() for n in range(1, 6))
    masks = []
    for n in range(1, 6):
        mask = torch.zeros(32, 32, 32, dtype=torch.bool)
        mask[8 : 8 + n, 8:20, 8:20] = True
        masks.append(mask)
    return CaseSet(names=tuple("abcde"), images=images, masks=tuple(masks), fingerprint="five")


def _which(truth: torch.Tensor) -> list[int]:
    """Which case each item is, by its lesion's planes."""
    return [int(item.any((-1, -2)).sum()) for item in truth[:, 0].bool()]


def test_without_augmentation_each_case_comes_once_an_epoch_and_as_it_is(cases: CaseSet) -> None:
    stream = CaseStream(cases, _recipe(), device=_CPU)
    batches = [stream.batch(step) for step in range(5)]  # two epochs of five cases, two at a time
    seen = [number for batch in batches for number in _which(batch.truth)]
    assert sorted(seen[:5]) == sorted(seen[5:]) == [1, 2, 3, 4, 5]
    assert seen[:5] != seen[5:]
    first = batches[0]
    assert torch.equal(first.image[0, 0], cases.images[seen[0] - 1].float())
    assert first.image.shape == first.truth.shape == (2, 1, 32, 32, 32)


def test_the_provenance_knows_its_subjects_but_not_in_plain_text(cases: CaseSet) -> None:
    assert "subjects" not in CaseStream(cases, _recipe(), device=_CPU).provenance
    named = replace(cases, subjects=("sub-1", "sub-2", "sub-3", "sub-3", "sub-4"))
    provenance = CaseStream(named, _recipe(), device=_CPU).provenance
    assert provenance["subjects"] == sorted(hashed(f"sub-{n}") for n in range(1, 5))
    assert "sub-" not in str(provenance)


def test_a_batch_depends_on_seed_and_step_alone(cases: CaseSet) -> None:
    recipe = _recipe(AugmentConfig(deform_fraction=1, scan_fraction=1))
    ahead = list(CaseStream(cases, recipe, device=_CPU).batches(0, 3))
    again = CaseStream(cases, recipe, device=_CPU)
    for step in (2, 0):
        assert torch.equal(again.batch(step).image, ahead[step].image)
        assert torch.equal(again.batch(step).truth, ahead[step].truth)
    other = CaseStream(cases, replace(recipe, train=replace(recipe.train, seed=1)), device=_CPU)
    assert not torch.equal(other.batch(0).image, ahead[0].image)
    assert set(ahead[0].truth.unique().tolist()) <= {0.0, 1.0}


def test_augmented_images_are_normalised_anew(cases: CaseSet) -> None:
    config = AugmentConfig(
        scan_fraction=1, deform_fraction=0, graft_fraction=0
    )  # a graft changes what 64 coarse voxels say
    batch = CaseStream(cases, _recipe(config), device=_CPU).batch(0)
    for item in batch.image[:, 0]:
        assert abs(float(item[item > item.min() + 0.1].median())) < 0.2
        assert float(item.abs().max()) <= 4.0


def test_a_share_of_the_steps_sees_whole_boxes(cases: CaseSet) -> None:
    stream = CaseStream(cases, _recipe(crop=(16, 16, 16), steps=10, whole_fraction=0.3), device=_CPU)
    shapes = [batch.image.shape for batch in stream.batches(0, 10)]
    crop, whole = (2, 1, 16, 16, 16), (1, 1, 32, 32, 32)
    assert shapes == [crop, crop, crop, whole, crop, crop, whole, crop, crop, whole]
    assert (
        stream.batch(10).image.shape == stream.batch(11).image.shape == whole
    )  # what batch normalisation is measured on
    for config in (AugmentConfig(), _OFF):
        crops = CaseStream(cases, _recipe(config, crop=(16, 16, 99)), device=_CPU)
        assert crops.batch(99).image.shape == (2, 1, 16, 16, 32)


def test_crops_look_for_small_lesions_too() -> None:
    mask = torch.zeros(32, 32, 32, dtype=torch.bool)
    mask[:10, :10, :10] = True
    mask[30:32, 30:32, 30:32] = True
    image = torch.zeros(32, 32, 32).half()
    image[30:32, 30:32, 30:32] = 1
    case = CaseSet(names=("a",), images=(image,), masks=(mask,), fingerprint="one")

    def met(focus: str) -> int:
        """How many of 600 crops meet the small lesion, which alone is bright."""
        stream = CaseStream(case, _recipe(crop=(8, 8, 8), batch=1, focus=focus), device=_CPU)
        return sum(bool(stream.batch(step).image.any()) for step in range(600))

    assert met("voxel") <= 6  # 8 of 1,008 voxels are the small lesion's
    assert 12 <= met("lesion") <= 60  # by the roots of their sizes it is one in twelve


@pytest.mark.long
def test_heads_made_before_the_training_are_its_cohort(tmp_path: Path) -> None:
    shapes = (ball_outline(),)
    sources = Sources(hosts=(small_host(),), acute=shapes, chronic=shapes, fingerprint="phantom")
    recipe = replace(
        _recipe(steps=4, batch=1), prepare=PrepareConfig(box=(64, 72, 64)), simulate=SimulateConfig(heads=2)
    )
    stream = HeadStream(sources, recipe, device=_CPU)
    heads = stream.cases(2, seed=0)
    assert [name.split()[1] for name in heads.names] == ["phantom", "phantom"]
    assert torch.equal(heads.images[1], stream.cases(2, seed=0).images[1])
    assert not torch.equal(heads.images[0], heads.images[1])
    others = {stream.cases(1, seed=0).fingerprint, stream.cases(2, seed=1).fingerprint, heads.fingerprint}
    assert len(others) == 3
    with pytest.raises(UsageError, match="prepare.spacing_mm 2.0 is not 1 mm"):
        train(replace(recipe, prepare=replace(recipe.prepare, spacing_mm=2.0)), sources, tmp_path)
    train(recipe, sources, tmp_path)
    provenance = load_weights(str(tmp_path)).card.provenance
    assert provenance["heads"] == provenance["cases"] == 2
    assert provenance["hosts"] == ["phantom"]
    assert provenance["trained_on"] == "simulated infarcts; not validated on patients"
    assert provenance["cases_sha256"] == heads.fingerprint


def test_painted_heads_are_one_more_source(cases: CaseSet) -> None:
    shapes = (ball_outline(),)
    sources = Sources(hosts=(small_host(),), acute=shapes, chronic=shapes, fingerprint="phantom")
    recipe = _recipe(replace(_OFF, synthetic_fraction=1.0), batch=1)
    recipe = replace(recipe, prepare=PrepareConfig(box=(64, 72, 64)))
    stream = CaseStream(replace(cases, painted_from=sources), recipe, device=_CPU)
    batch = stream.batch(0)
    assert batch.image.shape == (1, 1, 32, 32, 32)
    assert not any(torch.equal(batch.image[0, 0], image.float()) for image in cases.images)
    assert stream.provenance["painted"]["hosts"] == ["phantom"]
    assert "painted" not in CaseStream(cases, _recipe(), device=_CPU).provenance
    others = replace(sources, fingerprint="other label maps")
    prints = {stream.fingerprint, CaseStream(replace(cases, painted_from=others), recipe, device=_CPU).fingerprint}
    assert len(prints | {CaseStream(cases, _recipe(), device=_CPU).fingerprint}) == 3
    with pytest.raises(UsageError, match="nothing to paint them from"):
        CaseStream(cases, recipe, device=_CPU)


def test_simulated_heads_are_painted_only_if_asked(cases: CaseSet) -> None:
    shapes = (ball_outline(),)
    label_maps = Sources(hosts=(small_host(image=False),), acute=shapes, chronic=shapes, fingerprint="maps")
    scans = Sources(hosts=(small_host(),), acute=shapes, chronic=shapes, fingerprint="scans")
    drawn = _recipe(replace(_OFF, synthetic_fraction=1.0, synthetic_painted=False), batch=1)
    drawn = replace(
        drawn, prepare=PrepareConfig(box=(64, 72, 64)), simulate=replace(drawn.simulate, painted_fraction=0.0)
    )
    assert CaseStream(replace(cases, painted_from=scans), drawn, device=_CPU).batch(0).image.isfinite().all()
    with pytest.raises(UsageError, match="no host in the folder has an image"):
        CaseStream(replace(cases, painted_from=label_maps), drawn, device=_CPU)
    painted = replace(drawn, augment=replace(drawn.augment, synthetic_painted=True))
    assert CaseStream(replace(cases, painted_from=label_maps), painted, device=_CPU).batch(0).image.isfinite().all()


def test_a_run_on_cases_learns_and_says_what_it_saw(cases: CaseSet, tmp_path: Path) -> None:
    losses = []
    train(_recipe(steps=41, lr=1e-2), cases, tmp_path, report=lambda p: losses.append(p.loss))
    assert losses[-1] < 0.9 * losses[0]
    provenance = load_weights(str(tmp_path)).card.provenance
    assert provenance["trained_on"] == "a labelled cohort"
    assert provenance["cases"] == 5
    assert provenance["cases_sha256"] == "five"
    assert "hosts" not in provenance


def test_a_run_does_not_go_on_with_other_cases(cases: CaseSet, tmp_path: Path) -> None:
    with pytest.raises(Preempted):
        train(_recipe(steps=4, minutes=1e-9), cases, tmp_path)
    fewer = replace(cases, names=cases.names[1:], images=cases.images[1:], masks=cases.masks[1:], fingerprint="four")
    with pytest.raises(BadData, match="was on other data"):
        train(_recipe(steps=4), fewer, tmp_path, resume=True)
    train(_recipe(steps=4), cases, tmp_path, resume=True)
    assert load_weights(str(tmp_path)).card.provenance["steps"] == 4


def test_where_the_cohort_lies_changes_nothing(cases: CaseSet) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    streams = [
        CaseStream(cases, _recipe(AugmentConfig(), cohort=place), device=device) for place in ("auto", "device", "host")
    ]
    for step in range(4):
        first, *others = (stream.batch(step) for stream in streams)
        assert first.image.device.type == device.type
        for other in others:
            assert torch.equal(other.image, first.image)
            assert torch.equal(other.truth, first.truth)


def test_what_is_on_the_device_stays_there_however_little_is_free(
    cases: CaseSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second training on one cohort, where the first still holds memory."""
    monkeypatch.setattr(case_stream, "free_bytes", lambda _: 0)
    there = replace(cases, images=tuple(x.to("meta") for x in cases.images))
    assert case_stream._fits(there, TrainConfig(compile=False), torch.device("meta"))


def test_a_cohort_lies_on_the_gpu_where_it_leaves_half_of_what_is_free(
    cases: CaseSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = torch.device("cuda")
    need = cases.nbytes + sum(mask.numel() * 9 // 4 for mask in cases.masks)  # with what grafts and strips keep of each
    for free, fits in ((2 * need, True), (2 * need - 1, False)):
        monkeypatch.setattr(case_stream, "free_bytes", lambda _, free=free: free)
        assert case_stream._fits(cases, TrainConfig(compile=False), cuda) is fits
        assert case_stream._fits(cases, TrainConfig(cohort="device", compile=False), cuda)
        assert not case_stream._fits(cases, TrainConfig(cohort="host", compile=False), cuda)
