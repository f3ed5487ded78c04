"""One pass, tiles, mirror, precision: the same answer within what is stated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from insula.config import (
    AttentionUNet,
    MambaUNet,
    ModelConfig,
    PlainUNet,
    Precision,
    Scaling,
    SegmentConfig,
    SEUNet,
    SwinUNet,
)
from insula.errors import Unavailable, UsageError
from insula.infer import (
    Probabilities,
    choose_device,
    choose_precision,
    engine_run,
    free_bytes,
    infer,
    infer_mean,
    tiled_logits,
)
from insula.infer import run as run_module
from insula.infer.engines import torch_run
from insula.infer.fuse import SubvoxelHead, fused
from insula.models import UNet, build_model, probabilities

_NONE, _WARM, _BIASED = Scaling(), Scaling(1.2), Scaling(2.0, -0.6)

_MODELS: list[ModelConfig] = [
    AttentionUNet(widths=(4, 6, 8), norm="instance", stem="full"),
    AttentionUNet(widths=(4, 6, 8), brain=False, norm="instance", stem="full"),
    AttentionUNet(widths=(4, 6, 8), norm="batch", full_norm="batch", stem="full"),
    SEUNet(widths=(4, 6, 8), norm="group", stem="full"),
    MambaUNet(widths=(4, 8, 8), reduction=1, state=4, memory_size=3, norm="group", stem="full"),
    MambaUNet(widths=(4, 8, 8), reduction=1, state=4, stem="space_to_depth", norm="group"),
    SwinUNet(widths=(4, 8, 16), blocks=(0, 2, 2), window=2, norm="instance"),
]


def _ready(config: ModelConfig) -> UNet:
    """Random weights with lived-in statistics and strong outputs."""
    torch.manual_seed(0)
    model = build_model(config)
    for _ in range(3):
        model(torch.randn(2, 1, 16, 16, 16) * 2 + 0.5)
    model.head.weight.data *= 20
    return model.eval()


def _same(first: Probabilities, other: Probabilities) -> bool:
    """To the bit."""
    assert first.brain is not None
    assert other.brain is not None
    return torch.equal(first.lesion, other.lesion) and torch.equal(first.brain, other.brain)


@pytest.mark.parametrize("tile", [2, 8, 16, 30])
@pytest.mark.parametrize("config", _MODELS, ids=str)
@torch.inference_mode()
def test_tiles_give_the_logits_of_one_pass(config: ModelConfig, tile: int) -> None:
    model, image = _ready(config), torch.randn(1, 1, 48, 20, 12)
    whole, tiled = model(image), tiled_logits(model, image, tile=tile)
    assert float(whole.std()) > 0.05
    assert float((torch.sigmoid(whole) - torch.sigmoid(tiled)).abs().max()) < 1e-4


@torch.inference_mode()
def test_a_halo_too_small_would_be_noticed() -> None:
    """The test above can fail: with no halo the tiles disagree."""
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 48, 20, 12)
    model.halo = 0
    assert float((model(image) - tiled_logits(model, image, tile=8)).abs().max()) > 1e-3


@torch.inference_mode()
def test_what_looks_at_the_whole_volume_is_not_cut() -> None:
    model = build_model(AttentionUNet(widths=(4, 6), full_norm="instance", norm="instance", stem="full")).eval()
    with pytest.raises(Unavailable, match="normalisation over the whole volume"):
        tiled_logits(model, torch.randn(1, 1, 8, 8, 8), tile=4)
    strided = _ready(PlainUNet(widths=(4, 6, 8), last_stride=(2, 2, 2), norm="none"))
    with pytest.raises(Unavailable, match="beyond its own voxels"):
        tiled_logits(strided, torch.randn(1, 1, 8, 8, 8), tile=4)
    with pytest.raises(UsageError, match="tile 7 is not an even"):
        tiled_logits(_ready(_MODELS[0]), torch.randn(1, 1, 8, 8, 8), tile=7)


@pytest.mark.parametrize("config", _MODELS, ids=str)
@torch.inference_mode()
def test_folding_the_norms_changes_nothing(config: ModelConfig) -> None:
    model, image = _ready(config), torch.randn(1, 1, 16, 16, 16)
    before = model(image)
    assert torch.allclose(fused(model)(image), before, atol=1e-4)
    assert torch.equal(model(image), before), "the model itself is untouched"


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_a_subvoxel_head_is_the_transposed_convolution(bias: bool, outputs: int) -> None:
    torch.manual_seed(0)
    plain, x = nn.ConvTranspose3d(5, outputs, kernel_size=2, stride=2, bias=bias), torch.randn(2, 5, 3, 4, 2)
    head = SubvoxelHead(plain)
    assert head.sums.out_channels == 8 * outputs
    torch.testing.assert_close(head(x), plain(x))


def test_the_head_of_a_folded_network_becomes_a_subvoxel_head() -> None:
    folded = build_model(AttentionUNet(widths=(4, 6, 8), stem="space_to_depth", norm="instance")).eval()
    before = torch.get_rng_state()
    fused(folded)
    assert torch.equal(torch.get_rng_state(), before)
    assert isinstance(fused(folded).head, SubvoxelHead)
    assert isinstance(folded.head, nn.ConvTranspose3d)
    folded.head = nn.ConvTranspose3d(6, 1, kernel_size=3, stride=2)
    assert isinstance(fused(folded).head, nn.ConvTranspose3d)


def test_the_mirror_is_the_mean_of_both_looks() -> None:
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 16, 12, 8)
    config = SegmentConfig(device="cpu", precision="float32")
    there, _ = infer(model, image, config)
    mirrored, _ = infer(model, image.flip(2), config)
    both, facts = infer(model, image, SegmentConfig(device="cpu", precision="float32", tta=True))
    # so the answer on a mirrored head is the mirrored answer
    again, _ = infer(model, image.flip(2), SegmentConfig(device="cpu", precision="float32", tta=True))
    assert facts.tta
    assert both.brain is not None and there.brain is not None and mirrored.brain is not None
    torch.testing.assert_close(both.brain, _middle(there.brain, mirrored.brain.flip(0)), atol=1e-5, rtol=1e-5)
    sure = (there.brain > 0.5) & (mirrored.brain.flip(0) > 0.5)
    lesion = _middle(there.lesion, mirrored.lesion.flip(0))
    assert 0 < int(sure.sum()) < sure.numel()
    torch.testing.assert_close(both.lesion[sure], lesion[sure], atol=1e-5, rtol=1e-5)
    for output in ("lesion", "brain"):
        assert torch.allclose(getattr(again, output).flip(0), getattr(both, output), atol=1e-6)


def _middle(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The probability half-way between two, in logits."""
    return torch.sigmoid((torch.logit(one) + torch.logit(other)) / 2)


def test_both_outputs_follow_the_rule_of_the_models() -> None:
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 16, 12, 8)
    config = SegmentConfig(device="cpu", precision="float32")
    with torch.no_grad():
        lesion, brain = probabilities(model(image), scaling=Scaling(1.7))[0]
    seen, _ = infer(model, image, config, scaling=Scaling(1.7))
    assert seen.brain is not None
    torch.testing.assert_close(seen.lesion, lesion, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen.brain, brain, atol=1e-5, rtol=1e-4)
    assert 0 < int((seen.brain > 0.5).sum()) < seen.brain.numel()
    assert not seen.lesion[seen.brain < 0.5].any()
    assert seen.lesion[seen.brain > 0.5].all()
    cold, _ = infer(model, image, config)
    assert torch.equal(cold.brain, seen.brain), "the temperature is the lesion's"  # type: ignore[arg-type]
    assert not torch.equal(cold.lesion, seen.lesion)


def test_a_network_without_a_brain_gives_none() -> None:
    model, image = _ready(_MODELS[1]), torch.randn(1, 1, 16, 12, 8)
    seen, _ = infer(model, image, SegmentConfig(device="cpu", precision="float32", tta=True), scaling=Scaling(2.0))
    assert seen.brain is None
    assert seen.lesion.all()


def test_several_networks_give_means_of_what_each_has() -> None:
    with_one, without, other = _ready(_MODELS[0]), _ready(_MODELS[1]), _ready(_MODELS[2])
    image, config = torch.randn(1, 1, 16, 12, 8), SegmentConfig(device="cpu", precision="float32")
    seen = [
        infer(model, image, config, scaling=scaling)[0]
        for model, scaling in ((with_one, _WARM), (without, _NONE), (other, _BIASED))
    ]
    mean, _ = infer_mean([(with_one, _WARM), (without, _NONE), (other, _BIASED)], image, config)
    assert mean.brain is not None
    torch.testing.assert_close(mean.lesion, sum(probabilities.lesion for probabilities in seen) / 3)
    torch.testing.assert_close(mean.brain, (seen[0].brain + seen[2].brain) / 2)  # type: ignore[operator]
    none, _ = infer_mean([(without, _NONE), (without, _NONE)], image, config, scaling=Scaling(2.0))
    assert none.brain is None
    both, _ = infer_mean([(with_one, _WARM), (other, _BIASED)], image, config, scaling=Scaling(3.0))
    neither = (seen[0].lesion == 0) & (seen[2].lesion == 0)
    assert neither.any()
    assert not both.lesion[neither].any(), "a temperature moves 0 no further"
    probabilities = (seen[0].lesion + seen[2].lesion)[~neither] / 2
    torch.testing.assert_close(both.lesion[~neither], torch.sigmoid(torch.logit(probabilities, eps=1e-6) / 3))


def test_bfloat16_stays_near_float32() -> None:
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 16, 16, 16)
    full, _ = infer(model, image, SegmentConfig(device="cpu", precision="float32"))
    half, facts = infer(model, image, SegmentConfig(device="cpu", precision="bfloat16"))
    assert facts.precision == "bfloat16"
    assert full.brain is not None
    assert half.brain is not None
    inside = (full.brain > 0.5) & (half.brain > 0.5)
    assert inside.any()
    for difference in ((full.brain - half.brain).abs(), (full.lesion - half.lesion).abs()[inside]):
        assert float(difference.max()) < 0.15
        assert float(difference.mean()) < 0.01


@pytest.mark.parametrize(("strength", "precision"), [(1, "float16"), (1e7, "float32")])
def test_what_float16_cannot_hold_is_computed_in_float32(
    strength: float, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        model.encoders[0][0][0].weight *= strength
        model.encoders[0][1][0].weight /= strength
    exact, _ = infer(model, image, SegmentConfig(device="cpu", precision="float32"))

    def as_on_a_gpu(_: torch.device, requested: str) -> torch.dtype:
        return torch.float32 if requested == "float32" else torch.float16

    monkeypatch.setattr(run_module, "choose_precision", as_on_a_gpu)
    seen, facts = infer(model, image, SegmentConfig(device="cpu", passes="whole"))
    assert facts.precision == precision
    assert ("too large a number for float16" in facts.why) == (precision == "float32")
    assert exact.brain is not None
    assert seen.brain is not None
    inside = (exact.brain > 0.5) & (seen.brain > 0.5)
    assert float((seen.brain - exact.brain).abs().max()) < 0.02
    assert float((seen.lesion - exact.lesion)[inside].abs().max()) < 0.02


def test_an_overflow_in_the_brain_alone_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 16, 16, 16)
    monkeypatch.setattr(run_module, "choose_engine", lambda *_: "aoti")
    monkeypatch.setattr(run_module, "engine_precision", lambda *_: torch.float16)
    logits = torch.zeros(1, 2, 16, 16, 16)
    logits[0, 1, 3, 3, 3] = -torch.inf
    monkeypatch.setattr(run_module, "engine_run", lambda *_: lambda _: logits)
    _, facts = infer(model, image, SegmentConfig(device="cpu", precision="float32", engine="aoti"))
    assert (facts.engine, facts.precision) == ("torch", "float32")
    logits[0, 1, 3, 3, 3] = -60000
    _, facts = infer(model, image, SegmentConfig(device="cpu", precision="float32", engine="aoti"))
    assert (facts.engine, facts.precision) == ("aoti", "float16")


def test_an_engine_whose_float16_overflows_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 16, 16, 16)
    monkeypatch.setattr(run_module, "choose_engine", lambda *_: "aoti")
    monkeypatch.setattr(run_module, "engine_precision", lambda *_: torch.float16)
    looks = iter([0.0, torch.inf])  # the second look is the mirrored one
    monkeypatch.setattr(run_module, "engine_run", lambda *_: lambda x: x + next(looks))
    config = SegmentConfig(device="cpu", precision="float32", tta=True, engine="aoti")
    seen, facts = infer(model, image, config)
    assert (facts.engine, facts.precision) == ("torch", "float32")
    assert facts.why.startswith("too large a number for float16; ")
    monkeypatch.undo()
    assert _same(seen, infer(model, image, SegmentConfig(device="cpu", precision="float32", tta=True))[0])


@pytest.mark.parametrize(("requested", "instead"), [("float16", "auto"), ("float32", "float32")])
def test_a_gpu_that_runs_out_is_replaced(requested: str, instead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 16, 16, 16)
    tried: list[tuple[str, torch.dtype, int | None]] = []

    def full(_: UNet, precision: torch.dtype, where: torch.device, *, tile: int | None) -> run_module.Run:
        tried.append((where.type, precision, tile))
        if where.type == "cuda":
            raise torch.OutOfMemoryError
        return torch_run(model, precision, where, tile=tile)

    monkeypatch.setattr(run_module, "choose_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(run_module, "free_bytes", lambda _: 1 << 40)
    monkeypatch.setattr(run_module, "torch_run", full)
    seen, facts = infer(model, image, SegmentConfig(device="cuda", precision=requested))  # type: ignore[arg-type]
    there, here = getattr(torch, requested), choose_precision(torch.device("cpu"), instead)  # type: ignore[arg-type]
    assert tried == [("cuda", there, None), ("cuda", there, 32), ("cpu", here, None)]
    assert (facts.device, facts.passes, facts.why) == ("cpu", "whole", "the GPU ran out of memory")
    monkeypatch.undo()
    assert _same(seen, infer(model, image, SegmentConfig(device="cpu", precision=instead))[0])  # type: ignore[arg-type]


def test_inference_repeats_to_the_bit() -> None:
    model, image = _ready(_MODELS[0]), torch.randn(1, 1, 16, 16, 16)
    assert _same(*(infer(model, image, SegmentConfig(device="cpu"))[0] for _ in range(2)))


@pytest.mark.parametrize(("free", "passes"), [(1 << 40, "whole"), (1000, "tiled")])
def test_short_memory_chooses_tiles_and_says_why(free: int, passes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "free_bytes", lambda _: free)
    _, facts = infer(_ready(_MODELS[0]), torch.randn(1, 1, 16, 16, 16), SegmentConfig(device="cpu"))
    assert facts.passes == passes
    assert "memory" in facts.why


@pytest.mark.parametrize(("precision", "bytes_each"), [("float32", 4), ("bfloat16", 2)])
@pytest.mark.parametrize("width", [2, 6])
def test_a_pass_needs_seven_copies_of_its_widest_features(
    width: int, precision: Precision, bytes_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven were measured (studies/speed.py). A byte more than that is free for one pass, a byte less for tiles."""
    model = _ready(AttentionUNet(widths=(width, 8), stem="full"))
    image, config = torch.randn(1, 1, 16, 12, 8), SegmentConfig(device="cpu", precision=precision)
    need = 7 * (16 * 12 * 8) * width * bytes_each
    for free, passes in ((need + 1, "whole"), (need, "tiled"), (need - 1, "tiled")):
        monkeypatch.setattr(run_module, "free_bytes", lambda _, free=free: free)
        assert infer(model, image, config)[1].passes == passes


def test_a_model_that_cannot_be_cut_goes_whole_however_short_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "free_bytes", lambda _: 1000)
    model = _ready(PlainUNet(widths=(4, 6, 8), last_stride=(2, 2, 2)))
    _, facts = infer(model, torch.randn(1, 1, 16, 16, 16), SegmentConfig(device="cpu"))
    assert facts.passes == "whole"
    assert "memory is short, but" in facts.why


def test_devices_are_chosen_or_refused() -> None:
    assert choose_device("cpu").type == "cpu"
    assert free_bytes(torch.device("cpu")) > 1 << 20
    assert choose_precision(torch.device("cpu"), "float32") == torch.float32
    assert choose_precision(torch.device("cuda"), "auto") == torch.float16
    assert choose_precision(torch.device("cuda"), "bfloat16") == torch.bfloat16
    with pytest.raises(UsageError, match="float16 is for GPUs, not for cpu; use auto"):
        choose_precision(torch.device("cpu"), "float16")
    with pytest.raises(UsageError, match="gpu is not a device"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(Unavailable, match=r"cuda:3 is not there \(0 GPUs found\)"):
            choose_device("cuda:3")


def test_a_container_limit_counts(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from insula.infer import device

    folder = Path(str(tmp_path))
    (folder / "memory.max").write_text("1000000\n")
    (folder / "memory.current").write_text("400000\n")
    monkeypatch.setattr(device, "_CGROUP", folder)
    assert free_bytes(torch.device("cpu")) == 600_000
    (folder / "memory.max").write_text("max\n")
    assert free_bytes(torch.device("cpu")) > 1 << 20


def test_a_network_whose_weights_change_is_made_ready_again() -> None:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), norm="batch", stem="full")).eval()
    image, config = torch.randn(1, 1, 16, 16, 16), SegmentConfig(device="cpu", precision="float32", passes="whole")
    first, _ = infer(model, image, config)
    assert _same(first, infer(model, image, config)[0])
    with torch.no_grad():
        model.head.bias += 1
    second, _ = infer(model, image, config)
    assert not _same(first, second)
    torch.nn.utils.vector_to_parameters(2 * torch.nn.utils.parameters_to_vector(model.parameters()), model.parameters())
    assert not _same(second, infer(model, image, config)[0])


def test_what_was_made_ready_at_inference_works_elsewhere() -> None:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), norm="batch", stem="full")).eval()
    image, config = torch.randn(1, 1, 16, 16, 16), SegmentConfig(device="cpu", precision="float32", passes="whole")
    seen, _ = infer(model, image, config)
    logits = engine_run(model, "torch", (16, 16, 16), torch.float32, torch.device("cpu"))(image)
    lesion, brain = probabilities(logits)[0]
    torch.testing.assert_close(lesion, seen.lesion)
    torch.testing.assert_close(brain, seen.brain)
    assert all(parameter.requires_grad for parameter in model.parameters())
