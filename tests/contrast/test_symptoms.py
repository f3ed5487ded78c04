"""Detail is measured in the head and its surroundings, each direction for itself."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

from insula.contrast.symptoms import SYMPTOMS, measure_symptoms

_INSIDE, _RIM = 0, 96
_ALONG_I, _ALONG_J, _DIAGONAL, _CORNERS = 192, 198, 204, 210
_SHARES = 6


def _ball() -> Tensor:
    """A head of 2 mm voxels in a box of air: brightness 1."""
    place = torch.stack(torch.meshgrid(*(torch.arange(n) - n / 2 + 0.5 for n in (96, 112, 88)), indexing="ij"))
    return (place.square().sum(0) < 30**2).float()


def _noise(size: float) -> Tensor:
    return size * torch.randn((96, 112, 88), generator=torch.Generator().manual_seed(0))


@functools.cache
def _noisy(size: float) -> Tensor:
    """Symptoms of a ball with noise."""
    return measure_symptoms(_ball() + _noise(size))


def test_a_look_without_a_head_is_measured_too() -> None:
    for image in (torch.zeros(96, 112, 88), torch.ones(96, 112, 88), _noise(1.0).abs()):
        measured = measure_symptoms(image)
        assert measured.shape == (SYMPTOMS,)
        assert bool(torch.isfinite(measured).all())


@pytest.mark.parametrize("place", [_INSIDE + channel * _SHARES + 2 for channel in range(1, 12)])
def test_detail_inside_the_head_grows_with_noise(place: int) -> None:
    medians = [float(_noisy(size)[place]) for size in (0.0, 0.05, 0.2)]
    assert medians == sorted(set(medians))


@pytest.mark.parametrize(("axis", "place"), [(0, _ALONG_I), (1, _ALONG_J)])
def test_a_copy_of_the_head_beside_it_is_seen_along_its_axis_alone(axis: int, place: int) -> None:
    ball = _ball()
    ghost = (ball + 0.2 * ball.roll(ball.shape[axis] // 2, axis)).clamp_max(1)
    clean, measured = measure_symptoms(ball), measure_symptoms(ghost)
    assert float(measured[place]) > float(clean[place]) + 0.3
    for other in {_ALONG_I, _ALONG_J, _DIAGONAL, _CORNERS} - {place}:
        assert float(measured[other]) == pytest.approx(float(clean[other]), abs=0.1)


def test_exchanging_the_two_axes_of_a_slice_exchanges_their_air_and_leaves_the_differences() -> None:
    cube = (_ball() + _noise(0.1).abs())[:, 8:104]
    cube = cube * torch.where(torch.arange(96) % 2 == 0, 1.0, 0.8)[:, None, None]  # stripes along i
    first, second = measure_symptoms(cube), measure_symptoms(cube.transpose(0, 1))
    for start in (_INSIDE, _RIM):
        differences = slice(start + 12 * _SHARES, start + 16 * _SHARES)
        assert torch.allclose(first[differences], second[differences], atol=0.02)
        assert float(first[start + 12 * _SHARES + 2]) > 0.2
    assert float(first[_ALONG_I]) == pytest.approx(float(second[_ALONG_J]), abs=0.02)


def test_air_that_was_set_to_zero_is_known_from_measured_air() -> None:
    empty = measure_symptoms(_ball())
    filled = measure_symptoms(_ball() + _noise(0.05).abs())
    for place in (_ALONG_I, _ALONG_J, _DIAGONAL, _CORNERS):
        assert float(empty[place + 5]) == pytest.approx(1.0)
        assert float(filled[place + 5]) < 0.5
