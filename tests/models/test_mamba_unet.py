"""What is the smart model's own: its stems, its memory, its coarse head."""

from __future__ import annotations

import pytest
import torch

from insula.config import MambaUNet
from insula.losses import compound, deep_supervision
from insula.models import MemoryUNet, build_mamba_unet
from insula.nn import StateSpace

_SMALL = MambaUNet(widths=(4, 8, 16), reduction=1, state=4, memory_size=5, norm="group", stem="full")


def _built(config: MambaUNet) -> MemoryUNet:
    torch.manual_seed(0)
    return build_mamba_unet(config)


def test_the_fold_starts_as_a_rearrangement_and_loses_nothing() -> None:
    model = _built(MambaUNet(widths=(4, 8, 16), reduction=1, stem="space_to_depth", norm="group"))
    image = torch.arange(64.0).view(1, 1, 4, 4, 4)
    folded = model.enter(model.shallow(image))
    assert folded.shape == (1, 8, 2, 2, 2)
    assert sorted(folded.flatten().tolist()) == image.flatten().tolist()
    assert folded[0, :, 0, 0, 0].tolist() == image[0, 0, :2, :2, :2].flatten().tolist()


def test_scan_axes_alternate() -> None:
    orders = [module.order for module in _built(MambaUNet()).modules() if isinstance(module, StateSpace)]
    assert [order[-1] for order in orders] == [2, 0, 1, 2]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert not [module for module in _built(MambaUNet(scans=0)).modules() if isinstance(module, StateSpace)]


def test_a_fresh_memory_changes_no_logit_and_then_it_does() -> None:
    """The same weights with and without: the gates start at zero."""
    model = _built(_SMALL).eval()
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        logits, coarse = model.outputs(image)
        assert coarse.shape == (1, 1, 4, 4, 4)
        memory, model.memory = model.memory, None
        assert torch.equal(model(image), logits)
        model.memory = memory
        for recall in model.recalls:
            torch.nn.init.ones_(recall.gate)
        assert not torch.allclose(model(image), logits)


@pytest.mark.parametrize("stem", ["full", "space_to_depth"])
def test_a_step_of_the_missions_loss_lowers_it(stem: str) -> None:
    """On one head, coarse level and all: the whole model learns."""
    config = MambaUNet(widths=(4, 8, 16), reduction=1, state=4, memory_size=5, stem=stem, norm="group")  # type: ignore[arg-type]
    model = _built(config)
    loss = compound([(0.35, "dice"), (0.25, "focal"), (0.25, "boundary"), (0.15, "tversky")])
    truth = torch.zeros(1, 1, 16, 16, 16)
    truth[..., 4:10, 5:11, 6:12] = 1
    image = truth + 0.3 * torch.randn(truth.shape)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    values = []
    for _ in range(25):
        first, *coarser = model.outputs(image)
        value = deep_supervision(loss, 1 + len(coarser))([first[:, :1], *coarser], truth)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.8 * values[0]
