"""What the small networks see of an image."""

from __future__ import annotations

import pytest
import torch

from insula.contrast.look import at_2mm, blocks_of_4mm, details_of, logarithm, look_of_2mm


def test_a_look_is_the_mean_over_2_mm_or_what_was_drawn_there() -> None:
    fine = torch.rand(1, 1, 48, 48, 48)
    look = at_2mm(fine)
    assert look.shape == (24, 24, 24)
    assert torch.allclose(look[3, 4, 5], fine[0, 0, 6:8, 8:10, 10:12].mean())
    drawn = torch.rand(24, 24, 24)
    assert torch.allclose(look_of_2mm(drawn), look_of_2mm(1000 * drawn), atol=1e-4)


def test_details_share_out_the_spread() -> None:
    image = torch.rand(2, 24, 24, 24)
    blocks = blocks_of_4mm(image)
    assert torch.equal(blocks[1, :, 1, 2, 3], image[1, 2:4, 4:6, 6:8].flatten())
    details = details_of(blocks)
    assert torch.allclose(details.square().sum(1).sqrt(), blocks.std(1, correction=0), rtol=1e-3, atol=1e-5)
    assert float(details.abs().amin(1).amax()) > 0


@pytest.mark.parametrize(
    ("axes", "part"), [((2,), 0), ((1,), 1), ((1, 2), 2), ((0,), 3), ((0, 2), 4), ((0, 1), 5), ((0, 1, 2), 6)]
)
def test_a_detail_is_that_of_its_directions_and_has_their_sign(axes: tuple[int, ...], part: int) -> None:
    """Stripes, bars or a chessboard of 2 mm voxels."""
    image = torch.ones(24, 24, 24)
    for axis in axes:
        image = image * torch.where(torch.arange(24) % 2 == 0, 1.0, -1.0).view(
            [-1 if n == axis else 1 for n in range(3)]
        )
    for sign in (1, -1):
        details = details_of(blocks_of_4mm(sign * image[None]))[0]
        assert torch.allclose(details[part], torch.tensor(sign * 1.0), rtol=1e-3)
        assert float(details.abs().sum(0).mean()) == pytest.approx(1.0, rel=1e-3)


def test_a_last_odd_plane_is_left_out() -> None:
    assert blocks_of_4mm(torch.rand(1, 5, 7, 9)).shape == (1, 8, 2, 3, 4)


def test_the_logarithm_is_0_for_no_detail_and_grows() -> None:
    values = logarithm(torch.tensor([0.0, 0.01, 0.1, 1.0]))
    assert float(values[0]) == 0
    assert bool((values.diff() > 0).all())
