from __future__ import annotations

import pytest
import torch

from insula.config import AttentionUNet
from insula.infer.deployed import Deployed
from insula.models import build_model


@pytest.mark.parametrize("temperature", [None, 2.0])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_same_answer_as_float32(temperature: float | None, precision: torch.dtype) -> None:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), norm="batch"))
    image = torch.randn(2, 1, 16, 16, 16)
    model(image)
    model.eval()
    with torch.no_grad():
        logits = model(image)
        found = Deployed(model, temperature, precision)(image)
    wanted = logits if temperature is None else torch.sigmoid(logits / temperature)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    torch.testing.assert_close(found, wanted, atol=1e-4 if precision == torch.float32 else 5e-2, rtol=1e-3)


@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_what_overflows_is_not_hidden_by_the_sigmoid(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4))).eval()
    with torch.no_grad():
        model.head.weight *= 2e4
        found = Deployed(model, 1.3, precision)(100 * torch.randn(1, 1, 16, 16, 16))
    assert found.isnan().any() == (precision == torch.float16)
