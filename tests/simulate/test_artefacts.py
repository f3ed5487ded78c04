"""What goes wrong while a scan is made is where the physics puts it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.simulate import Artefacts, ScannerLook, scan_each, scan_with
from insula.simulate.artefacts import disturb


def _block() -> torch.Tensor:
    image = torch.zeros(40, 48, 44)
    image[15:25, 20:28, 18:26] = 1
    return image


def test_none_leaves_the_image_as_it_is() -> None:
    image = _block()
    assert disturb(image, Artefacts()) is image
    assert Artefacts.sample(np.random.default_rng(0), chance=0.0).ghost == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_a_ghost_is_a_weaker_copy_half_a_field_of_view_away(axis: int) -> None:
    image = _block()
    seen = disturb(image, Artefacts(ghost=0.4, ghost_every=2, phase_axis=axis))
    copy = image.roll(image.shape[axis] // 2, axis)
    assert float(seen[copy > 0].mean()) == pytest.approx(0.2, abs=0.01)  # half of what every second line lacks
    assert float(seen[image > 0].mean()) == pytest.approx(0.8, abs=0.01)
    assert float(seen[(image + copy) == 0].abs().max()) < 1e-4


def test_a_movement_leaves_the_head_where_it_was_and_smears_it() -> None:
    image = _block()
    seen = disturb(image, Artefacts(move_mm=(0.0, 4.0, 0.0), move_at=0.7))
    assert not torch.allclose(seen, image, atol=0.05)
    places = torch.arange(48.0)
    centre = [float((x.sum((0, 2)) * places).sum() / x.sum()) for x in (image, seen)]
    assert centre[0] == pytest.approx(centre[1], abs=1.5)
    assert torch.allclose(disturb(image, Artefacts(move_mm=(0.0, 4.0, 0.0), move_at=1.0)), image, atol=1e-5)


def test_a_spike_is_one_wave_of_its_amplitude() -> None:
    flat = torch.ones(40, 48, 44)
    seen = disturb(flat, Artefacts(spike=0.1, spike_cycles=(0.0, 5.0, 3.0)))
    spectrum = torch.fft.fftn(seen - 1).abs()
    peaks = (spectrum > 0.5 * spectrum.max()).nonzero().tolist()
    assert sorted(peaks) == [[0, 5, 3], [0, 43, 41]]
    assert float((seen - 1).abs().max()) == pytest.approx(0.1, abs=1e-3)


def test_every_item_of_a_batch_has_its_own_scanner() -> None:
    images = torch.rand(3, 24, 28, 26)
    looks = [ScannerLook.sample(np.random.default_rng(n), artefacts=1.0) for n in range(3)]
    together = scan_each(images, looks, white=[1.0, 2.0, 0.5])
    for image, look, white, seen in zip(images, looks, (1.0, 2.0, 0.5), together, strict=True):
        assert torch.allclose(scan_with(image, look, white=white), seen, atol=1e-5)


def test_asking_for_no_artefacts_draws_what_it_always_drew() -> None:
    plain, other = (ScannerLook.sample(np.random.default_rng(3), artefacts=share) for share in (0.0, 1.0))
    assert plain.artefacts == Artefacts()
    assert other.artefacts.ghost > 0
    assert (plain.bias, plain.gamma, plain.noise, plain.seed) == (other.bias, other.gamma, other.noise, other.seed)
