"""What a scanner adds, and how it changes with the field."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.simulate import ScannerLook, scan_with


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
