"""Units that do not depend on the scanner's."""

from __future__ import annotations

import pytest
import torch

from insula.augment.levels import find_levels, relative


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (800.0, 0.0), (0.02, -3.0)])
def test_air_is_0_white_matter_1_and_tissues_in_between(scale: float, offset: float) -> None:
    image = torch.zeros(60, 60, 60)
    for level, planes in ((0.2, slice(20, 24)), (0.6, slice(24, 40)), (1.0, slice(40, 60))):
        image[planes] = level
    levels = find_levels(image * scale + offset)
    assert torch.allclose(relative(image * scale + offset, levels), image, atol=1e-5)
    assert levels.csf == pytest.approx(0.2, abs=1e-5)
    assert levels.grey == pytest.approx(0.6, abs=1e-5)


def test_an_empty_image_is_no_accident() -> None:
    flat = torch.full((12, 12, 12), 7.0)
    assert torch.equal(relative(flat, find_levels(flat)), torch.zeros_like(flat))
