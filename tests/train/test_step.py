"""One step: what moves, and what a gradient gone wrong leaves alone."""

from __future__ import annotations

import copy

import pytest
import torch

from insula.config import AttentionUNet, MambaUNet, TrainConfig
from insula.models import UNet, build_model
from insula.train.step import Step
from insula.train.stream import Batch

_CPU = torch.device("cpu")


def _networks(norm: str = "instance") -> tuple[UNet, UNet]:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), norm=norm, stem="full"))  # type: ignore[arg-type]
    return model, copy.deepcopy(model)


def _batch(seed: int) -> Batch:
    image = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Batch(image, (image > 1).float(), (image > -1).float())


def _copy(model: UNet) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_average_moves_by_the_rate_and_counts_are_copied() -> None:
    model, average = _networks("batch")
    before = _copy(average)
    Step(model, average, TrainConfig(compile=False), device=_CPU).take(_batch(0), lr=1e-2, rate=0.25)
    for name, value in average.state_dict().items():
        now = model.state_dict()[name]
        expected = before[name] + 0.25 * (now - before[name]) if value.is_floating_point() else now
        torch.testing.assert_close(value, expected, msg=name)
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_learning_rate_is_the_one_given() -> None:
    model, average = _networks()
    steps = Step(model, average, TrainConfig(weight_decay=0, compile=False), device=_CPU)
    before = _copy(model)
    steps.take(_batch(0), lr=0.0, rate=0.0)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    steps.take(_batch(0), lr=1e-3, rate=0.0)
    moved = max(float((value - before[name]).abs().max()) for name, value in model.state_dict().items())
    assert moved == pytest.approx(1e-3, rel=0.05)  # Adam's first steps are as long as the rate


def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted() -> None:
    model, average = _networks()
    steps = Step(model, average, TrainConfig(compile=False), device=_CPU)
    steps.take(_batch(0), lr=1e-2, rate=1.0)
    assert steps.skipped == 0
    before, moments = _copy(model), copy.deepcopy(steps.state()["optimiser"]["state"])
    bad = _batch(1)
    bad.image[0, 0, 0, 0, 0] = torch.nan
    for count in (1, 2):
        steps.take(bad, lr=1e-2, rate=1.0)
        assert steps.skipped == count
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    for key, held in steps.state()["optimiser"]["state"].items():
        assert all(torch.equal(moments[key][name], value) for name, value in held.items())
    steps.take(_batch(2), lr=1e-2, rate=1.0)
    assert steps.skipped == 0
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_state_goes_on_as_if_nothing_had_happened() -> None:
    whole, parted = (Step(*_networks(), TrainConfig(compile=False), device=_CPU) for _ in range(2))
    for step in (whole, parted):
        step.take(_batch(0), lr=1e-2, rate=0.5)
    held, weights = copy.deepcopy(parted.state()), (_copy(parted.model), _copy(parted.average))
    model, average = _networks()
    model.load_state_dict(weights[0])
    average.load_state_dict(weights[1])
    again = Step(model, average, TrainConfig(compile=False), device=_CPU)
    again.load(held)
    for step in (whole, again):
        step.take(_batch(1), lr=5e-3, rate=0.5)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, average.state_dict()[name]), name


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"recompute": True}, {"accumulate": 2, "recompute": True}])
def test_less_memory_takes_the_same_step(options: dict[str, object]) -> None:
    """With losses that are means over voxels; Dice of a part is not the Dice of the whole."""
    losses = ((1.0, "cross_entropy"), (0.5, "focal"))
    batch = Batch(*(torch.cat(parts) for parts in zip(_batch(0), _batch(1), strict=True)))
    plain, lean = _networks(), _networks()
    one = Step(*plain, TrainConfig(losses=losses, compile=False), device=_CPU)  # type: ignore[arg-type]
    other = Step(*lean, TrainConfig(losses=losses, compile=False, **options), device=_CPU)  # type: ignore[arg-type]
    expected, found = (steps.take(batch, lr=1e-3, rate=1.0) for steps in (one, other))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    for name, value in plain[0].state_dict().items():
        torch.testing.assert_close(lean[0].state_dict()[name], value, rtol=0, atol=2e-5, msg=name)


def test_computing_again_does_not_count_a_batch_twice_in_the_statistics() -> None:
    plain, lean = _networks("batch"), _networks("batch")
    for model, recompute in ((plain, False), (lean, True)):
        Step(*model, TrainConfig(recompute=recompute, compile=False), device=_CPU).take(_batch(0), lr=1e-3, rate=0.0)
    for name, value in plain[0].state_dict().items():
        if "running" in name:
            torch.testing.assert_close(lean[0].state_dict()[name], value, msg=name)


def test_recomputing_keeps_less() -> None:
    """Counted in what autograd holds on to between the passes."""

    def held(recompute: bool) -> int:
        model, _ = _networks()
        model.recompute = recompute
        sizes: list[int] = []

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(torch.randn(1, 1, 16, 16, 16))
        return sum(sizes)

    assert held(recompute=True) < 0.6 * held(recompute=False)


def test_float16_scales_its_gradients_and_unscales_them() -> None:
    """The step is float32's, to float16's precision; a scale that overflows is halved and the step skipped."""
    plain, half = _networks(), _networks()
    one = Step(*plain, TrainConfig(losses=((1.0, "cross_entropy"),), compile=False), device=_CPU)
    other = Step(*half, TrainConfig(losses=((1.0, "cross_entropy"),), precision="float16", compile=False), device=_CPU)
    expected, found = (float(steps.take(_batch(0), lr=1e-3, rate=1.0)) for steps in (one, other))
    assert found == pytest.approx(expected, rel=5e-3)
    way = torch.cat([(a - b).flatten() for a, b in zip(half[0].parameters(), _networks()[0].parameters(), strict=True)])
    true = torch.cat(
        [(a - b).flatten() for a, b in zip(plain[0].parameters(), _networks()[0].parameters(), strict=True)]
    )
    assert float(torch.cosine_similarity(way.detach(), true.detach(), dim=0)) > 0.95
    before, scale = _copy(half[0]), float(other.state()["counts"]["scale"])
    other.state()["counts"]["scale"].fill_(1e30)
    other.take(_batch(0), lr=1e-3, rate=1.0)
    assert other.skipped == 1
    assert float(other.state()["counts"]["scale"]) == pytest.approx(5e29)
    assert all(
        torch.equal(before[name], value) for name, value in half[0].state_dict().items() if "running" not in name
    )
    assert scale == 2.0**15


def test_bfloat16_is_close_to_float32() -> None:
    plain, half = _networks(), _networks()
    expected, found = (
        float(Step(*nets, config, device=_CPU).take(_batch(0), lr=1e-3, rate=1.0))
        for nets, config in (
            (plain, TrainConfig(precision="float32", compile=False)),
            (half, TrainConfig(precision="bfloat16", compile=False)),
        )
    )
    assert found == pytest.approx(expected, rel=2e-2)
    assert found != expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "config",
    [AttentionUNet(widths=(2, 4), norm="batch", stem="full"), MambaUNet(widths=(4, 8, 32), norm="batch", stem="full")],
)
def test_a_recorded_step_is_the_step_that_was_recorded(config: AttentionUNet | MambaUNet, precision: str) -> None:
    """Through shapes in turn, and a state that is gone back to, as a rewind does.

    A GPU adds in any order, so no two runs are the same. The recorded run is no farther from two runs that are not
    recorded than those are from each other, or a thousandth.
    """
    cuda = torch.device("cuda")
    ends = []
    for graph in (False, False, True):
        torch.manual_seed(0)
        model = build_model(config).to(cuda).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        average = copy.deepcopy(model)
        settings = TrainConfig(graph=graph, precision=precision, compile=False)  # type: ignore[arg-type]
        steps = Step(model, average, settings, device=cuda)
        losses = []
        held: dict[str, object] = {}
        for n in range(30):
            batch = Batch(*(part.to(cuda).repeat(1, 1, 2, 2, 2) for part in _batch(n % 5)))
            if n % 3 == 2:
                batch = Batch(*(torch.cat([part, part], dim=2) for part in batch))
            if n == 6:
                held = copy.deepcopy({"state": steps.state(), "model": model.state_dict()})
            if n == 10:
                model.load_state_dict(held["model"])  # type: ignore[arg-type]
                steps.load(held["state"])  # type: ignore[arg-type]
            losses.append(float(steps.take(batch, lr=1e-3, rate=0.1)))
        ends.append((losses, _copy(model), _copy(average)))
    one, other, recorded = (torch.tensor(losses, dtype=torch.float64) for losses, *_ in ends)
    apart = (one - other).abs().cummax(0).values  # what differs once grows
    assert ((recorded - one).abs() <= 4 * apart + 1e-3 * one.abs()).all(), (one, other, recorded)
    assert len(set(recorded.tolist())) == len(recorded)
    for first, second, third in zip(ends[0][1:], ends[1][1:], ends[2][1:], strict=True):
        for name, value in first.items():
            spread = float((second[name] - value).abs().max()) if value.is_floating_point() else 0.0
            assert float((third[name] - value).abs().max()) <= 4 * spread + 5e-3, name
