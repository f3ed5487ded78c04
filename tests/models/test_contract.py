"""What every model must keep, whatever it is made of. A new model is a new row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from insula.checkpoint import Card, load_weights, save_weights
from insula.config import AttentionUNet, MambaUNet, ModelConfig, PlainUNet, PrepareConfig, SEUNet, SwinUNet
from insula.errors import UsageError
from insula.models import build_model
from insula.nn import MemoryAttention

_COUNTS: list[tuple[ModelConfig, int]] = [
    (AttentionUNet(stem="full"), 5_679_222),
    (AttentionUNet(), 5_640_197),
    (SEUNet(), 7_465_333),
    (MambaUNet(), 8_322_386),
    (SwinUNet(), 14_877_747),
    (PlainUNet(), 30_781_061),
]
_SMALL: list[ModelConfig] = [
    AttentionUNet(widths=(4, 6, 8), norm="instance", stem="full"),
    SEUNet(widths=(4, 6, 8), reduction=1, norm="group", stem="full"),
    SEUNet(widths=(4, 6, 8), reduction=1, stem="full", squeeze_window=8),
    AttentionUNet(widths=(4, 8), norm="batch", full_norm="batch", stem="full"),
    SEUNet(widths=(4, 8), norm="instance", reduction=1, stem="full"),
    MambaUNet(widths=(4, 8, 16), reduction=1, state=4, memory_size=3, norm="group", stem="full"),
    MambaUNet(
        widths=(4, 8, 16), reduction=1, state=4, memory="self_sorting_mirror", stem="space_to_depth", norm="group"
    ),
    MambaUNet(widths=(4, 8, 8), reduction=1, scans=0, memory="fifo", memory_size=2, norm="group", stem="full"),
    SwinUNet(widths=(4, 8, 16), blocks=(0, 2, 2), window=2, norm="instance"),
    PlainUNet(widths=(4, 6, 8), last_stride=(2, 2, 2)),
]
_COARSE = {"mamba_unet": [(4, 3, 2)], "swin_unet": [(8, 6, 4)], "plain_unet": []}


@pytest.mark.parametrize(("config", "count"), _COUNTS, ids=lambda v: getattr(v, "kind", ""))
def test_the_parameter_count_is_frozen(config: ModelConfig, count: int) -> None:
    assert sum(p.numel() for p in build_model(config).parameters()) == count


def test_sizes_are_what_the_mission_asks() -> None:
    baseline, _, enhanced, smart, large, yardstick = (count / 1e6 for _, count in _COUNTS)
    assert round(baseline, 1) == 5.7
    assert 7 <= enhanced <= 8
    assert 8 <= smart <= 10
    assert round(large) == 15
    assert round(yardstick) == 31


@pytest.mark.parametrize("config", _SMALL, ids=str)
def test_logits_on_the_images_grid_and_finite_gradients_everywhere(config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = build_model(config)
    for module in model.modules():
        if isinstance(module, MemoryAttention):
            torch.nn.init.ones_(module.gate)  # it starts at zero, and behind it nothing would have a gradient
    logits, *coarse = model.outputs(torch.randn(2, 1, 16, 12, 8))
    assert logits.shape == (2, 2, 16, 12, 8)  # lesion and brain
    assert [tuple(level.shape[2:]) for level in coarse] == _COARSE.get(config.kind, [])
    torch.stack([level.square().mean() for level in (logits, *coarse)]).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # a bias in front of a normalisation would have none; there is none
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("config", _SMALL, ids=str)
def test_an_odd_size_is_refused_with_the_remedy(config: ModelConfig) -> None:
    model = build_model(config)
    i, j, k = model.divisors
    with pytest.raises(UsageError) as caught:
        model(torch.zeros(1, 1, i, 3 * j + 1, k))
    assert f"{3 * j + 1} on axis j" in str(caught.value)
    assert f"use {3 * j} or {4 * j}" in str(caught.value)


@pytest.mark.parametrize("config", _SMALL, ids=str)
def test_weights_come_back_from_the_disk(config: ModelConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(config)
    model(torch.randn(2, 1, 8, 8, 8))
    model.half().float().eval()
    save_weights(tmp_path, model, Card(name="m", model=config, prepare=PrepareConfig(box=(32, 32, 32))))
    again = load_weights(str(tmp_path))
    x = torch.randn(1, 1, 8, 8, 8)
    assert again.card.model == config
    assert torch.equal(again.model(x), model(x))


@pytest.mark.parametrize("config", _SMALL, ids=str)
def test_the_same_seed_is_the_same_model_and_the_same_answer(config: ModelConfig) -> None:
    x = torch.randn(1, 1, 8, 8, 8)
    answers = []
    for _ in range(2):
        torch.manual_seed(3)
        answers.append(build_model(config).eval()(x))
    assert torch.equal(*answers)


@pytest.mark.parametrize("config", _SMALL, ids=str)
def test_a_batch_is_its_items_one_by_one(config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = build_model(config).eval()
    x = torch.randn(3, 1, 8, 8, 8)
    assert torch.allclose(model(x), torch.cat([model(item[None]) for item in x]), atol=1e-5)


@pytest.mark.parametrize(
    "config", [SEUNet(squeeze_window=40), MambaUNet(squeeze_window=100), SEUNet(squeeze_window=-64)]
)
def test_windows_of_no_whole_number_of_cells_are_refused(config: ModelConfig) -> None:
    with pytest.raises(UsageError, match=r"model.squeeze_window .* multiple of 16"):
        build_model(config)


def test_an_enhanced_model_answers_for_a_part_as_for_the_whole() -> None:
    """What lies far away must not change it: in training it meets crops, in use whole heads."""
    torch.manual_seed(0)
    small = SEUNet(widths=(4, 8), reduction=1, stem="full", squeeze_window=16)
    model = build_model(small).eval()
    head = torch.randn(1, 1, 64, 16, 16)
    far = head.clone()
    far[:, :, 40:] *= 4
    with torch.no_grad():
        assert torch.equal(model(head)[:, :, :20], model(far)[:, :, :20])
        whole = build_model(replace(small, squeeze_window=0)).eval()
        whole.load_state_dict(model.state_dict())
        assert not torch.allclose(whole(head)[:, :, :20], whole(far)[:, :, :20])
