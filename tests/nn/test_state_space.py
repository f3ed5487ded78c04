"""The chunked scan against the recurrence written out, and the block's promises."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch
from torch import Tensor

from insula.nn import StateSpace, scan_states


def slow_scan(value: Tensor, log_decay: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The recurrence as it is written, one token after the other."""
    b, length, h, p = value.shape
    state = torch.zeros(b, h, p, write.shape[-1], dtype=value.dtype)
    out = []
    for t in range(length):
        state = torch.exp(log_decay[:, t])[..., None, None] * state + value[:, t, :, :, None] * write[:, t, :, None, :]
        out.append((state * read[:, t, :, None, :]).sum(-1))
    return torch.stack(out, dim=1)


def _inputs(length: int, *, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(length)
    value, write, read = (
        scale * torch.randn(2, length, 3, n, generator=generator, dtype=torch.float64) for n in (5, 4, 4)
    )
    log_decay = -torch.rand(2, length, 3, generator=generator, dtype=torch.float64) * 0.5
    return tuple(part.to(dtype) for part in (value, log_decay, write, read))


@pytest.mark.parametrize(("length", "chunk"), [(1, 4), (7, 8), (64, 16), (100, 16), (257, 32), (300, 1), (600, 1)])
def test_chunks_give_what_the_recurrence_gives(length: int, chunk: int) -> None:
    inputs = _inputs(length)
    fast, slow = scan_states(*inputs, chunk=chunk), slow_scan(*(part.double() for part in inputs))
    assert float((fast - slow).norm() / slow.norm()) < 1e-5


def test_a_long_memory_is_kept_over_many_chunks() -> None:
    """One token written at the start is read at the end, decayed by exactly what was asked."""
    value, log_decay, write, read = (torch.zeros(1, 1000, 1, n) for n in (1, 1, 1, 1))
    value[0, 0], write[0, 0], read[0, -1] = 3.0, 2.0, 1.0
    log_decay = torch.full((1, 1000, 1), -0.001)
    y = scan_states(value, log_decay, write, read, chunk=16)
    assert float(y[0, -1]) == pytest.approx(6 * torch.exp(torch.tensor(-0.999)).item(), rel=1e-5)
    assert float(y[0, :-1].abs().max()) == 0


def test_it_is_causal() -> None:
    value, log_decay, write, read = _inputs(90)
    before = scan_states(value, log_decay, write, read, chunk=16)
    changed = value.clone()
    changed[:, 50:] = 7.0
    after = scan_states(changed, log_decay, write, read, chunk=16)
    assert torch.equal(before[:, :50], after[:, :50])
    assert not torch.allclose(before[:, 50:], after[:, 50:])


def test_gradients_are_those_of_the_function() -> None:
    inputs = [part.requires_grad_() for part in _inputs(11, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda *parts: scan_states(*parts, chunk=4), inputs)


def test_gradients_cross_from_one_stretch_into_another() -> None:
    inputs = [part.requires_grad_() for part in _inputs(150, dtype=torch.float64)]
    gradients, want = (
        torch.autograd.grad((scan(*inputs) ** 2).sum(), inputs) for scan in (partial(scan_states, chunk=1), slow_scan)
    )
    for gradient, other in zip(gradients, want, strict=True):
        assert float((gradient - other).norm() / other.norm()) < 1e-10


def test_stretches_of_a_cpu_and_of_a_gpu_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = _inputs(700)
    short = scan_states(*inputs, chunk=4)
    monkeypatch.setattr("insula.nn.state_space._STRETCH_ON_CPU", 512)
    torch.testing.assert_close(scan_states(*inputs, chunk=4), short, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_in_float32_within_same_dtype_out(dtype: torch.dtype) -> None:
    """States reach thousands; in float16 their products would overflow."""
    value, log_decay, write, read = _inputs(200, scale=8.0)
    log_decay = log_decay / 100
    low = scan_states(value.to(dtype), log_decay.to(dtype), write.to(dtype), read.to(dtype))
    assert low.dtype == dtype
    exact = slow_scan(*(part.to(dtype).double() for part in (value, log_decay, write, read)))
    finite = exact.abs() < 6e4
    assert float((low.double() - exact)[finite].norm() / exact[finite].norm()) < 1e-2


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_lining_up_and_folding_back_is_the_identity(order: tuple[int, int, int]) -> None:
    block = StateSpace(8, heads=2, order=order)
    x = torch.randn(2, 8, 3, 4, 5)
    tokens = block._line_up(x)
    assert torch.equal(block._fold_back(tokens, x.shape), x)
    step = [0, 0, 0]
    step[order[2]] = 1  # the last axis of the order is the fast one
    assert torch.equal(tokens[0, 1], x[0, :, *step])


def test_every_voxel_hears_of_every_other() -> None:
    torch.manual_seed(0)
    block = StateSpace(8, heads=2).double()
    with torch.no_grad():
        block.log_rate.fill_(-6)  # a long memory, so that the farthest effect is above rounding
    x = torch.randn(1, 8, 4, 5, 6, dtype=torch.float64)
    for place in ((0, 0, 0), (3, 4, 5), (2, 2, 3)):
        y = x.clone()
        y[0, :, *place] += 1
        changed = (block(y) - block(x)).detach().abs().amax(1)
        assert float(changed.min()) > 0, place


def test_inputs_of_a_thousand_give_no_nan() -> None:
    torch.manual_seed(0)
    block = StateSpace(16, heads=4)
    x = (1e3 * torch.randn(1, 16, 6, 6, 6)).requires_grad_()
    y = block(x)
    y.square().mean().backward()
    assert torch.isfinite(y).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert all(
        torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in block.parameters() if p.grad is not None
    )
    assert all(p.grad is not None for p in block.parameters())


def test_autocast_leaves_the_scan_in_float32() -> None:
    torch.manual_seed(0)
    block = StateSpace(16, heads=4).eval()
    x = torch.randn(1, 16, 6, 6, 6)
    with torch.no_grad():
        exact = block(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = block(x)
    assert float((low.float() - exact).norm() / exact.norm()) < 1e-2


def test_a_batch_is_its_items() -> None:
    torch.manual_seed(0)
    block = StateSpace(8, heads=2).eval()
    x = torch.randn(3, 8, 4, 4, 4)
    assert torch.allclose(block(x), torch.cat([block(item[None]) for item in x]), atol=1e-5)


def test_it_is_traced_whole_with_static_shapes() -> None:
    """torch.export sees one graph without a break, which is what a compiler and ONNX need."""
    torch.manual_seed(0)
    block = StateSpace(8, heads=2).eval()
    x = torch.randn(1, 8, 4, 6, 5)
    program = torch.export.export(block, (x,))
    assert torch.allclose(program.module()(x), block(x), atol=1e-6)
