"""Blurs keep brightness, interpolation meets its nodes, and one volume is a batch of one."""

from __future__ import annotations

import pytest
import torch

from insula.simulate.fields import (
    bands,
    between_nodes,
    blur,
    blur_each,
    blur_evenly,
    blur_wide,
    blur_wide_each,
    identity,
    look_up,
    look_up_each,
    noise,
    resize,
)

_CPU = torch.device("cpu")


@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.0, 3.0])
def test_weights_of_a_blur_are_shares_and_the_rim_is_repeated(sigma: float) -> None:
    (matrix,) = bands(13, torch.tensor([sigma]))
    assert torch.allclose(matrix.sum(1), torch.ones(13), atol=1e-5)
    assert float(matrix.min()) >= 0
    assert torch.allclose(matrix, matrix.flip(0, 1), atol=1e-6)
    if sigma == 0:
        assert torch.allclose(matrix, torch.eye(13))
    else:
        line = torch.zeros(13)
        line[0] = 1  # as if the 1 went on outside
        assert float((matrix @ line)[0]) > 0.5
    even = torch.full((9, 10, 11), 0.7)
    assert torch.allclose(blur(even, sigma), even, atol=1e-5)


def test_a_batch_is_blurred_as_its_items_are() -> None:
    volumes = noise((3, 12, 14, 16), seed=0, device=_CPU)
    assert torch.allclose(blur_each(volumes, torch.tensor([1.5, 1.5, 0.7]))[0], blur(volumes[0], 1.5), atol=1e-5)
    assert torch.allclose(blur_evenly(volumes, 1.5)[1], blur(volumes[1], 1.5), atol=1e-5)
    wide = blur_wide_each(volumes, 4.0)
    assert wide.shape == volumes.shape
    assert torch.allclose(wide[2], blur_wide(volumes[2], 4.0), atol=1e-5)
    assert float(wide.std()) < 0.2 * float(volumes.std())


def test_interpolation_between_nodes_is_that_of_resize() -> None:
    nodes = noise((2, 3, 4, 5), seed=1, device=_CPU)
    shape = (9, 13, 17)
    places = [torch.arange(n)[None] for n in shape]
    apart = [(n - 1) / (count - 1) for n, count in zip(shape, nodes.shape[1:], strict=True)]
    assert torch.allclose(between_nodes(nodes, places, apart), resize(nodes, shape), atol=1e-5)


@pytest.mark.parametrize("repeat_rim", [False, True])
def test_outside_of_a_volume_is_nothing_or_its_rim(repeat_rim: bool) -> None:
    volume = 1 + torch.arange(5.0 * 6 * 7).reshape(5, 6, 7)
    index = identity((5, 6, 7), device=_CPU)
    assert torch.allclose(look_up(volume[None], index)[0], volume, atol=1e-4)
    away = look_up(volume[None], index + torch.tensor([0, 0, 20.0]).view(3, 1, 1, 1), repeat_rim=repeat_rim)[0]
    expected = volume[:, :, -1:].expand_as(volume) if repeat_rim else torch.zeros_like(volume)
    assert torch.allclose(away, expected, atol=1e-4)
    assert torch.equal(
        look_up(volume[None], index + 20, repeat_rim=repeat_rim),
        look_up_each(volume[None, None], index[None] + 20, repeat_rim=repeat_rim)[0],
    )


def test_the_nearest_voxel_is_taken_if_wanted() -> None:
    volume = torch.arange(5.0 * 6 * 7).reshape(5, 6, 7)
    index = identity((5, 6, 7), device=_CPU) + 0.3
    assert torch.equal(look_up(volume[None], index, nearest=True)[0, :-1, :-1, :-1], volume[:-1, :-1, :-1])
