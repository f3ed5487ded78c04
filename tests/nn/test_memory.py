"""The self-sorting memory on hand-made cases, and its promises."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from insula.nn import LesionMemory, MemoryAttention
from insula.nn.memory import Bank, MemoryMode, rank_tokens, rotate

_MODES = get_args(MemoryMode)


def test_ranks_by_hand() -> None:
    """A, a copy of A that scores less, a token at 60 degrees to A, and one across from all of them."""
    token = torch.tensor([[[1.0, 0, 0], [2.0, 0, 0], [1.0, math.sqrt(3), 0], [0, 0, 5.0]]])
    score = torch.tensor([[0.9, 0.8, 0.6, 0.1]])
    expected = [0.9, 0.0, 0.6 * (1 - 0.5), 0.1]
    assert rank_tokens(score, token)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_opposite_features_do_not_help_a_token() -> None:
    token = torch.tensor([[[1.0, 0], [-1.0, 0]]])
    assert rank_tokens(torch.tensor([[0.9, 0.5]]), token)[0].tolist() == pytest.approx([0.9, 0.5])


def test_ranks_go_with_their_tokens_whatever_the_order() -> None:
    generator = torch.Generator().manual_seed(0)
    token, score = torch.randn(2, 50, 6, generator=generator), torch.rand(2, 50, generator=generator)
    order = torch.randperm(50, generator=generator)
    ranks = rank_tokens(score, token)
    assert torch.allclose(rank_tokens(score[:, order], token[:, order]), ranks[:, order], atol=1e-6)
    assert torch.allclose(rank_tokens(score[1:], token[1:]), ranks[1:], atol=1e-6)


def _with_scores(memory: LesionMemory, x: torch.Tensor) -> LesionMemory:
    """The head reads the first channel."""
    with torch.no_grad():
        memory.head.weight.zero_()
        memory.head.weight[0, 0] = 1.0
        memory.head.bias.zero_()
    return memory


def test_it_keeps_what_is_lesion_and_differs() -> None:
    """Two lesions of different looks, one of five equal voxels: both are in a memory of two."""
    x = torch.zeros(1, 3, 4, 4, 4)
    x[0, 0] = -6.0
    x[0, 1] = 1.0
    for place in range(3):
        x[0, :, 0, 0, place] = torch.tensor([3.0 - 0.1 * place, 0.0, 0.0])
    x[0, :, 3, 3, 2] = torch.tensor([2.0, 0.0, 20.0])
    bank, logits = _with_scores(LesionMemory(3, size=2), x)(x)
    assert bank.place[0].tolist() == [[8.0, 8.0, 8.0], [56.0, 56.0, 40.0]]
    assert bank.score[0].tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-2))])
    assert torch.equal(logits, x[:, :1])


def test_first_in_first_out_keeps_the_last_lesion_tokens() -> None:
    x = torch.full((1, 2, 2, 2, 4), -5.0)
    x[0, 0, 0, 0, 1], x[0, 0, 0, 1, 2], x[0, 0, 1, 1, 0] = 9.0, 1.0, 2.0
    bank, _ = _with_scores(LesionMemory(2, mode="fifo", size=2), x)(x)
    assert bank.place[0].tolist() == [[24.0, 24.0, 8.0], [8.0, 24.0, 40.0]]


def test_mirror_tokens_are_the_other_sides() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, 3, 4)
    bank, _ = LesionMemory(5, mode="self_sorting_mirror", size=7)(x)
    assert bank.token.shape == (2, 14, 5)
    for b in range(2):
        for n in range(7):
            here, there = bank.place[b, n] / 16 - 0.5, bank.place[b, n + 7] / 16 - 0.5
            assert there.tolist() == [5 - here[0].item(), here[1].item(), here[2].item()]
            assert torch.equal(bank.token[b, n + 7], x[b, :, *there.int().tolist()])
            assert bank.score[b, n + 7] == bank.score[b, n]


def test_a_memory_is_never_larger_than_the_grid() -> None:
    bank, _ = LesionMemory(4, size=64)(torch.randn(1, 4, 2, 2, 2))
    assert bank.token.shape == (1, 8, 4)


@pytest.mark.parametrize("mode", _MODES)
def test_a_batch_is_its_items_and_no_scan_remembers_another(mode: MemoryMode) -> None:
    torch.manual_seed(0)
    memory, attention = LesionMemory(12, mode=mode, size=5), MemoryAttention(24, 12, heads=2)
    torch.nn.init.ones_(attention.gate)
    deep, x = torch.randn(3, 12, 4, 4, 4), torch.randn(3, 24, 8, 8, 8)

    def answer(place: slice) -> torch.Tensor:
        return attention(x[place], memory(deep[place])[0])

    whole = answer(slice(None))
    one_by_one = torch.cat([answer(slice(n, n + 1)) for n in range(3)])
    assert torch.allclose(whole, one_by_one, atol=1e-5)
    answer(slice(0, 1))  # another patient in between changes nothing
    assert torch.equal(answer(slice(2, 3)), one_by_one[2:])


def test_a_fresh_block_is_the_identity_and_can_learn() -> None:
    torch.manual_seed(0)
    memory, attention = LesionMemory(12, size=5), MemoryAttention(24, 12, heads=2)
    deep, x = torch.randn(1, 12, 4, 4, 4), torch.randn(1, 24, 4, 4, 4)
    y = attention(x, memory(deep)[0])
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert attention.gate.grad is not None
    assert attention.gate.grad.abs().sum() > 0


def test_gradients_reach_the_lesion_head_through_the_memorys_values() -> None:
    torch.manual_seed(0)
    memory, attention = LesionMemory(12, size=5), MemoryAttention(24, 12, heads=2)
    torch.nn.init.ones_(attention.gate)
    attention(torch.randn(1, 24, 4, 4, 4), memory(torch.randn(1, 12, 4, 4, 4))[0]).square().sum().backward()
    for module in (memory, attention):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("background", [0, 3])
def test_the_answer_by_hand_shrinks_with_the_share_of_the_background(background: int) -> None:
    """A query of zeros finds all keys alike: 4 memory tokens, the background and the null token share it evenly."""
    torch.manual_seed(0)
    attention = MemoryAttention(24, 12, heads=2, background=background)
    bank = Bank(torch.randn(1, 4, 12), torch.tensor([[1.0, 0.5, 0.5, 0.0]]), torch.zeros(1, 4, 3))
    x = torch.randn(1, 24, 2, 2, 2)
    with torch.no_grad():
        torch.nn.init.ones_(attention.gate)
        torch.nn.init.eye_(attention.out.weight)
        torch.nn.init.zeros_(attention.out.bias)
        for weight in (attention.query.weight, attention.other_value):
            weight.zero_()
        answer = attention(x, bank) - x
        values = attention.value(attention.memory_norm(bank.token)) * bank.score[..., None]
    tokens = 4 + background + 1
    expected = (1 - background / tokens) * values[0].sum(0) / tokens
    assert torch.allclose(answer, expected[None, :, None, None, None].expand_as(answer), atol=1e-5)


def test_the_place_code_tells_distance_and_nothing_else() -> None:
    """Moving both tokens together changes no product, moving one does; lengths stay."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1, 1, 1, 32, generator=generator)
    here, there = torch.tensor([[[10.0, 20, 30]]]), torch.tensor([[[50.0, 21, 90]]])
    shift = torch.tensor([7.0, -3.0, 40.0])

    def product(first: torch.Tensor, second: torch.Tensor) -> float:
        return float((rotate(a, first) * rotate(b, second)).sum())

    assert product(here + shift, there + shift) == pytest.approx(product(here, there), abs=1e-4)
    assert abs(product(here, there) - product(here, there + shift)) > 1e-2
    assert float(rotate(a, there).norm()) == pytest.approx(float(a.norm()), rel=1e-5)


def test_it_is_traced_whole() -> None:
    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory, self.attention = LesionMemory(12, mode="self_sorting_mirror", size=5), MemoryAttention(24, 12)

        def forward(self, deep: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, self.memory(deep)[0])

    torch.manual_seed(0)
    both, inputs = Both().eval(), (torch.randn(1, 12, 3, 4, 2), torch.randn(1, 24, 6, 8, 4))
    torch.nn.init.ones_(both.attention.gate)
    program = torch.export.export(both, inputs)
    assert torch.allclose(program.module()(*inputs), both(*inputs), atol=1e-5)
