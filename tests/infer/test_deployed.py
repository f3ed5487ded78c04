from __future__ import annotations

import pytest
import torch

from insula.config import AttentionUNet, Scaling
from insula.infer.deployed import Deployed
from insula.models import build_model, probabilities


@pytest.mark.parametrize("brain", [True, False])
@pytest.mark.parametrize("scaling", [None, Scaling(2.0), Scaling(1.5, -0.7)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_same_answer_as_float32(scaling: Scaling | None, precision: torch.dtype, brain: bool) -> None:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), norm="batch", brain=brain, stem="full"))
    image = torch.randn(2, 1, 16, 16, 16)
    model(image)
    model.eval()
    with torch.no_grad():
        logits = model(image)
        prob = Deployed(model, scaling, precision)(image)
    wanted = logits if scaling is None else probabilities(logits, scaling=scaling)
    assert prob.dtype == torch.float32
    assert prob.shape == (2, 1 + brain, 16, 16, 16)
    assert prob.isfinite().all()
    if brain and scaling is not None:
        assert not prob[:, 0][prob[:, 1] < 0.5].any()
        near = (logits[:, 1] > 0) != (prob[:, 1] > 0.5)  # half precision ends the brain a little elsewhere
        assert float(near.float().mean()) < 0.02
        prob[:, 0][near] = wanted[:, 0][near]
    torch.testing.assert_close(prob, wanted, atol=1e-4 if precision == torch.float32 else 5e-2, rtol=1e-3)


@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_what_overflows_is_not_hidden_by_the_sigmoid(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), brain=False, norm="instance", stem="full")).eval()
    with torch.no_grad():
        model.head.weight *= 2e4
        prob = Deployed(model, Scaling(1.3), precision)(100 * torch.randn(1, 1, 16, 16, 16))
    assert prob.isnan().any() == (precision == torch.float16)


@pytest.mark.parametrize("output", [0, 1])
def test_an_overflow_in_one_output_shows_in_both(output: int) -> None:
    torch.manual_seed(0)
    model = build_model(AttentionUNet(widths=(2, 4), norm="instance", stem="full")).eval()
    image = 100 * torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        model.head.weight[output] *= 2e4
        logits = Deployed(model, None, torch.float16)(image)
        prob = Deployed(model, Scaling(1.3), torch.float16)(image)
    broken = ~logits[:, output].isfinite()
    assert broken.any()
    assert not broken.all()
    assert torch.equal(prob[:, 0].isnan(), broken)
    assert torch.equal(prob[:, 1].isnan(), broken)
