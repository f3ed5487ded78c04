"""What a teacher answers, and that a student follows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from insula.checkpoint import Card, Weights, load_weights, save_weights, who_was_seen
from insula.config import AttentionUNet, Calibration, PrepareConfig, Recipe, Scaling, SegmentConfig, TrainConfig
from insula.errors import BadData, NoInput, UsageError
from insula.infer import infer_mean
from insula.models import UNet, build_model
from insula.store import CaseSet
from insula.train.run import Run
from insula.train.step import Step
from insula.train.stream import Batch
from insula.train.teacher import Teacher
from insula.train.world import World

_CPU = torch.device("cpu")
_MODEL = AttentionUNet(widths=(2, 4), norm="batch", stem="full")


def _network(seed: int, *, brain: bool = True) -> UNet:
    torch.manual_seed(seed)
    network = build_model(replace(_MODEL, brain=brain)).eval()
    with torch.no_grad():
        network.head.weight *= 20
        if brain:
            network.head.bias[1] -= network(_image())[:, 1].median()  # half of it is brain
    return network


def _weights(count: int, temperature: float = 1.0, bias: float = 0.0, *, brain: bool = True) -> Weights:
    card = Card(
        name="t", model=_MODEL, prepare=PrepareConfig(), calibration=Calibration(temperature=temperature, bias=bias)
    )
    own = [Scaling()] if count == 1 else [Scaling(1.0 + n, -0.3 * n) for n in range(count)]
    return Weights(networks=tuple((_network(n, brain=brain), own[n]) for n in range(count)), card=card, sha256="")


def _image() -> torch.Tensor:
    return torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("count", "temperature", "bias"), [(1, 1.0, 0.0), (1, 2.5, -1.0), (3, 1.0, 0.0), (3, 0.7, 0.5)]
)
def test_it_answers_what_segmenting_with_these_weights_gives(count: int, temperature: float, bias: float) -> None:
    weights, image = _weights(count, temperature, bias), _image()
    config = SegmentConfig(device="cpu", precision="float32", passes="whole")
    wanted = infer_mean(weights.networks, image, config, scaling=Scaling(temperature, bias))[0].lesion
    answer = Teacher(weights, _CPU)(image, torch.float32)
    assert wanted.std() > 0.01
    torch.testing.assert_close(answer[0, 0], wanted, atol=1e-5, rtol=1e-4)


def test_it_learns_nothing_itself() -> None:
    weights = _weights(2)
    before = [parameter.clone() for network, _ in weights.networks for parameter in network.parameters()]
    Teacher(weights, _CPU)(_image(), torch.float32)
    after = [parameter for network, _ in weights.networks for parameter in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(parameter.requires_grad for parameter in after)  # the networks that were given are left alone


def test_a_student_comes_to_answer_as_its_teacher_where_the_truth_says_nothing() -> None:
    teacher = Teacher(_weights(1, brain=False), _CPU)
    model, average = _network(9, brain=False), _network(9, brain=False)
    config = TrainConfig(
        teacher="t", teacher_share=1.0, losses=((1.0, "cross_entropy"),), weight_decay=0.0, compile=False
    )
    steps = Step(model, average, config, device=_CPU, teacher=teacher)
    batch = Batch(_image(), torch.zeros_like(_image()), -torch.ones_like(_image()))
    wanted = teacher(batch.image, torch.float32)

    def apart() -> float:
        return float((torch.sigmoid(model(batch.image)[:, :1]) - wanted).abs().mean().detach())

    first, losses = apart(), []
    for _ in range(60):
        losses.append(float(steps.take(batch, lr=1e-2, rate=1.0)))
    assert losses[-1] < 0.5 * losses[0]
    assert apart() < 0.5 * first


def test_the_share_is_of_the_loss() -> None:
    batch = Batch(_image(), (_image() > 1).float(), -torch.ones_like(_image()))

    def loss(share: float, teacher: Teacher | None) -> float:
        model, average = _network(9), _network(9)
        config = TrainConfig(teacher="t", teacher_share=share, losses=((1.0, "cross_entropy"),), compile=False)
        return float(Step(model, average, config, device=_CPU, teacher=teacher).take(batch, lr=0.0, rate=0.0))

    teacher = Teacher(_weights(1), _CPU)
    alone, all_taught = loss(0.5, None), loss(1.0, teacher)
    assert loss(0.0, teacher) == pytest.approx(alone)
    assert loss(0.25, teacher) == pytest.approx(0.75 * alone + 0.25 * all_taught, rel=1e-5)


def _cases() -> CaseSet:
    image = torch.rand(32, 32, 32).half()
    return CaseSet(names=("a",), images=(image,), masks=(image > 0.9,), fingerprint="a")


def _saved(folder: Path, **provenance: object) -> str:
    folder.mkdir()
    prepare = PrepareConfig(box=(32, 32, 32))
    save_weights(folder, _network(0), Card(name="t", model=_MODEL, prepare=prepare, provenance=provenance))
    return str(folder)


def test_a_teacher_that_looks_at_other_images_or_is_not_there_is_refused(tmp_path: Path) -> None:
    recipe = Recipe(
        name="s", model=_MODEL, train=TrainConfig(device="cpu", teacher=_saved(tmp_path / "t"), compile=False)
    )
    with pytest.raises(BadData, match="prepared in another way"):
        Run(recipe, _cases(), tmp_path, start=None, world=World())
    with pytest.raises(UsageError, match="from 0 to 1"):
        Run(
            replace(recipe, train=TrainConfig(teacher="t", teacher_share=2.0, compile=False)),
            _cases(),
            tmp_path,
            start=None,
            world=World(),
        )
    with pytest.raises(NoInput, match="do not exist"):
        Run(
            replace(recipe, train=TrainConfig(device="cpu", teacher="nobody", compile=False)),
            _cases(),
            tmp_path,
            start=None,
            world=World(),
        )


def test_the_card_names_the_teacher(tmp_path: Path) -> None:
    name = _saved(tmp_path / "t")
    config = TrainConfig(device="cpu", teacher=name, steps=1, crop=(16, 16, 16), recalibrate=0, compile=False)
    recipe = Recipe(name="s", model=_MODEL, prepare=PrepareConfig(box=(32, 32, 32)), train=config)
    Run(recipe, _cases(), tmp_path, start=None, world=World()).save()
    taught_by = load_weights(str(tmp_path / "s.json")).card.provenance["taught_by"]
    assert taught_by == {"name": "t", "sha256": load_weights(name).sha256, "temperatures": [1.0, 1.0]}


def test_whom_the_teacher_has_seen_the_student_knows_too(tmp_path: Path) -> None:
    name = _saved(tmp_path / "t", subjects=["f00d"])
    config = TrainConfig(device="cpu", teacher=name, steps=1, crop=(16, 16, 16), recalibrate=0, compile=False)
    recipe = Recipe(name="s", model=_MODEL, prepare=PrepareConfig(box=(32, 32, 32)), train=config)
    Run(recipe, _cases(), tmp_path, start=None, world=World()).save()
    assert who_was_seen(load_weights(str(tmp_path / "s.json")).card) == {"subjects": ["f00d"]}
    assert Run(recipe, _cases(), tmp_path, start=None, world=World()).restore()


def test_a_run_goes_on_with_its_teacher_only(tmp_path: Path) -> None:
    name = _saved(tmp_path / "t")
    config = TrainConfig(device="cpu", teacher=name, steps=1, crop=(16, 16, 16), recalibrate=0, compile=False)
    recipe = Recipe(name="s", model=_MODEL, prepare=PrepareConfig(box=(32, 32, 32)), train=config)
    Run(recipe, _cases(), tmp_path, start=None, world=World()).save()
    assert Run(recipe, _cases(), tmp_path, start=None, world=World()).restore()
    save_weights(Path(name), _network(1), Card(name="t", model=_MODEL, prepare=PrepareConfig(box=(32, 32, 32))))
    with pytest.raises(BadData, match="taught by other weights"):
        Run(recipe, _cases(), tmp_path, start=None, world=World()).restore()
