"""Stems: what stands at full resolution, and how many heads there can be."""

from __future__ import annotations

import pytest
import torch

from insula.config import AttentionUNet, MambaUNet, SEUNet
from insula.errors import UsageError
from insula.models import build_model


@pytest.mark.parametrize("config", [AttentionUNet, SEUNet, MambaUNet])
@pytest.mark.parametrize("stem", ["full", "space_to_depth"])
def test_every_unet_has_both_stems_and_sides(config: type, stem: str) -> None:
    widths = (4, 8, 32, 32)
    model = build_model(config(stem=stem, sides=2, widths=widths))
    outputs = model.outputs(torch.randn(1, 1, 16, 16, 16))
    assert outputs[0].shape == (1, 2, 16, 16, 16)
    assert [tuple(side.shape[2:]) for side in outputs[1:3]] == [(8, 8, 8), (4, 4, 4)]
    assert model.folded is (stem == "space_to_depth")
    sum(output.sum() for output in outputs).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None and "recalls" not in name]
    assert not missing
    with pytest.raises(UsageError, match=r"model.sides 3 is more than the 2 decoder stages"):
        build_model(config(stem=stem, sides=3, widths=widths))
