"""What is no signal is set aside, and what is signal is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from corpus.files import IMAGE
from insula.config import PrepareConfig
from insula.io.padding import set_aside
from insula.prepare import measure
from insula.types import Flag

_HEAD = IMAGE.astype(np.float32) + np.random.default_rng(0).random(IMAGE.shape, np.float32)
_WINDOW = np.ones(IMAGE.shape, bool)
_WINDOW[6:-6, 5:-5, 4:-4] = False


@pytest.mark.parametrize("value", [-60.0, -1.0e3, -1024.0, -32768.0, 65535.0, 1e9])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 40.0])
def test_padding_of_any_value_changes_no_scale(value: float, scale: float) -> None:
    flags: list[Flag] = []
    image = np.where(_WINDOW, np.float32(value * scale), _HEAD * np.float32(scale))
    filled = set_aside(image, flags)
    assert np.array_equal(filled[~_WINDOW], image[~_WINDOW])
    assert filled[_WINDOW].max() < np.percentile(_HEAD, 20) * scale
    before, after = (
        measure(torch.from_numpy(volume), PrepareConfig()) for volume in (_HEAD * np.float32(scale), filled)
    )
    assert after.middle == pytest.approx(before.middle, rel=0.02)
    assert after.width == pytest.approx(before.width, rel=0.05)
    assert [flag.code for flag in flags] == ["padding-set-aside"]
    assert f"{value * scale:g}" in flags[0].text


def test_a_background_amid_standardised_values_becomes_the_darkest() -> None:
    inside = _HEAD > 200
    image = np.where(inside, (_HEAD - _HEAD[inside].mean()) / _HEAD[inside].std(), np.float32(0))
    flags: list[Flag] = []
    filled = set_aside(image, flags)
    assert np.array_equal(filled[inside], image[inside])
    assert filled[~inside].max() <= np.percentile(image[inside], 1)
    assert len(flags) == 1


@pytest.mark.parametrize(
    "image",
    [
        _HEAD,
        np.where(_HEAD > 60, _HEAD, 0),
        IMAGE.astype(np.float32),
        _HEAD - 900,
        _HEAD.max() - _HEAD,
        np.where(_HEAD > 200, _HEAD, 0),
        np.where(_HEAD > 200, _HEAD + 500, 0),
        IMAGE > 60,
    ],
    ids=[
        "noise",
        "stripped",
        "whole numbers",
        "negative",
        "inverted",
        "stripped and bright",
        "stripped and far above 0",
        "two values",
    ],
)
def test_what_scans_have_is_left_as_it_is(image: np.ndarray) -> None:
    flags: list[Flag] = []
    assert set_aside(image.astype(np.float32), flags) is not None
    assert np.array_equal(set_aside(image.astype(np.float32), flags), image.astype(np.float32))
    assert not flags


def test_what_the_file_calls_padding_is_padding_although_its_value_is_a_scans() -> None:
    flags: list[Flag] = []
    image = np.where(_WINDOW, np.float32(500), _HEAD)
    filled = set_aside(image, flags, declared=_WINDOW)
    assert filled[_WINDOW].max() < np.percentile(_HEAD, 20)
    assert "according to the file" in flags[0].text
