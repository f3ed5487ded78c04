"""What a scanner adds, and how it changes with the field."""

from __future__ import annotations

import math

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


def test_a_spin_echo_has_less_contrast_in_the_brain_and_brighter_fat() -> None:
    csf, grey, white, fat = (torch.full((2, 2, 2), level) for level in (0.17, 0.56, 1.0, 1.5))

    def seen(image: torch.Tensor, share: float) -> float:
        return float(scan_with(image * 300, ScannerLook(spin_echo=share), white=300).mean())

    def signal(water: float, t1: float, t2: float) -> float:  # TR 500 ms, TE 12 ms
        return water * (1 - math.exp(-500 / t1)) * math.exp(-12 / t2)

    of_white = signal(0.7, 600, 80)
    assert seen(white, 1.0) == pytest.approx(1, abs=1e-5)
    for image, properties in ((csf, (1.0, 4000, 2000)), (grey, (0.82, 950, 100)), (fat, (0.9, 260, 70))):
        assert seen(image, 1.0) == pytest.approx(signal(*properties) / of_white, abs=0.01)
        assert seen(image, 0.5) == pytest.approx((seen(image, 0.0) + seen(image, 1.0)) / 2, abs=1e-5)
    assert 1.05 < seen(white * 1.2, 1.0) < 1.2 and seen(fat * 2, 1.0) > 4


def test_spin_echoes_are_drawn_as_often_as_asked_with_thick_slices_and_change_no_other_look() -> None:
    def looks(share: float) -> list[ScannerLook]:
        return [ScannerLook.sample(np.random.default_rng(seed), spin_echo=share) for seed in range(400)]

    plain, some = looks(0.0), looks(0.25)
    drawn = [look for look in some if look.spin_echo]
    assert 70 < len(drawn) < 130
    assert all(0.6 <= look.spin_echo <= 1 and 3 <= look.slice_mm <= 6.5 for look in drawn)
    assert sum(look.slice_axis == 2 for look in drawn) > 0.6 * len(drawn)
    assert not any(look.spin_echo for look in plain)
    assert all(a == b for a, b in zip(plain, some, strict=True) if not b.spin_echo)


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
