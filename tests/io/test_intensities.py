"""Intensities are finite, free of padding and not constant, or the image is refused."""

from __future__ import annotations

import numpy as np
import pytest

from insula.errors import BadData
from insula.io.intensities import sound_image
from insula.types import Flag

_IMAGE = np.random.default_rng(0).integers(1, 900, (12, 12, 12)).astype(np.float32)


def test_a_sound_image_stays_as_it_is() -> None:
    flags: list[Flag] = []
    assert sound_image(_IMAGE, flags) is _IMAGE
    assert flags == []


def test_voxels_that_are_not_finite_become_the_darkest_value() -> None:
    image, flags = _IMAGE.copy(), list[Flag]()
    image[5, 5, 5:8] = np.nan, np.inf, -np.inf
    filled = sound_image(image, flags)
    assert (filled[5, 5, 5:8] == _IMAGE.min()).all()
    assert [flag.code for flag in flags] == ["voxels-filled"]
    assert "1 NaN and 2 infinite voxels" in flags[0].text
    assert np.isnan(image[5, 5, 5])


def test_padding_becomes_air() -> None:
    image, flags = _IMAGE.copy(), list[Flag]()
    image[:2] = -5000
    assert sound_image(image, flags).min() >= 0
    assert [flag.code for flag in flags] == ["padding-set-aside"]


@pytest.mark.parametrize(("value", "words"), [(0, "zero everywhere"), (7, "with the value 7 is the same everywhere")])
def test_a_constant_image_is_refused(value: float, words: str) -> None:
    with pytest.raises(BadData, match=words):
        sound_image(np.full((4, 4, 4), value, np.float32), [])


def test_an_image_without_a_finite_value_is_refused() -> None:
    with pytest.raises(BadData, match="of 64 voxels holds no finite value"):
        sound_image(np.full((4, 4, 4), np.nan, np.float32), [])
