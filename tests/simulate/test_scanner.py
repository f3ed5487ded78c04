"""What a scanner adds, and how it changes with the field."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.simulate import ScannerLook, scan_with
from insula.simulate.scanner import log_bias, scan_numbers


def test_a_stronger_field_is_quieter_less_even_and_flatter() -> None:
    look = ScannerLook.sample(np.random.default_rng(1))
    strong = look.at_field(3.0)
    assert strong.noise == pytest.approx(look.noise / 2)
    assert strong.bias > look.bias
    assert strong.gamma < look.gamma
    assert (strong.slice_mm, strong.blur_mm, strong.seed) == (look.slice_mm, look.blur_mm, look.seed)
    assert look.at_field(1.5) == look


def test_noise_is_as_strong_as_asked_and_the_rest_is_left_alone() -> None:
    image = torch.full((40, 40, 40), 500.0)
    plain = scan_with(image, ScannerLook(), white=500)
    assert torch.equal(plain, torch.ones_like(plain))
    noisy = scan_with(image, ScannerLook(noise=0.05), white=500)
    assert float(noisy.std()) == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_blur_along_their_axis_only(axis: int) -> None:
    image = torch.zeros(40, 40, 40)
    image[20, 20, 20] = 1
    seen = scan_with(image, ScannerLook(slice_mm=4, slice_axis=axis), white=1)
    for other in range(3):
        spread = (seen.sum([n for n in range(3) if n != other]) > 1e-4).sum()
        assert (spread > 1) == (other == axis)


def test_a_thick_slice_averages_over_its_thickness() -> None:
    image = torch.zeros(60, 3, 3)
    image[30] = 1
    for thickness in (3.0, 5.0):
        (line,) = scan_with(image, ScannerLook(slice_mm=thickness, slice_axis=0), white=1)[:, 1, 1][None]
        place = torch.arange(60.0)
        spread = float(((place - 30) ** 2 * line).sum() / line.sum()) ** 0.5
        assert 0.3 * thickness < spread < 0.8 * thickness


def test_the_bias_field_meets_its_nodes_at_the_corners_of_the_head() -> None:
    look, box = ScannerLook(bias=0.3, seed=4), (90, 100, 110)
    numbers = scan_numbers([look], white=[1.0], box=box, shape=box)
    assert numbers.start.tolist() == [[0, 0, 0]]
    field = log_bias(
        type(numbers)(*(torch.from_numpy(part).float() for part in numbers)),
        box,
        [torch.tensor([[0.0, n - 1.0]]) for n in box],
    )
    corners = numbers.nodes[
        :, :: numbers.nodes.shape[1] - 1, :: numbers.nodes.shape[2] - 1, :: numbers.nodes.shape[3] - 1
    ]
    assert torch.allclose(field, 0.3 * torch.from_numpy(corners).float(), atol=1e-5)


def test_every_look_has_random_fields_of_its_own() -> None:
    rng = np.random.default_rng(0)
    assert len({ScannerLook.sample(rng).seed for _ in range(200)}) == 200
