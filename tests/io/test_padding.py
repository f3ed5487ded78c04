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


def _set_aside(value: float, share: float, others: np.ndarray | None = None) -> tuple[list[str], np.ndarray]:
    """Texts of the flags, and the image, where a share of the voxels at the start, with a corner, has the value."""
    image = np.linspace(100, 200, 8000) if others is None else np.resize(others, 8000)
    image = np.random.default_rng(0).permutation(image).astype(np.float32)
    image[: round(share * 8000)] = value
    flags: list[Flag] = []
    filled = set_aside(image.reshape(20, 20, 20), flags)
    assert {(flag.code, flag.severity) for flag in flags} <= {("padding-set-aside", "note")}
    return [flag.text for flag in flags], filled


@pytest.mark.parametrize(
    ("value", "share", "where"),
    [
        # the other values go from 100 to 200, so that half of their range is about 49.5
        (45.0, 0.1, "far from all others"),
        (55.0, 0.1, ""),
        (255.0, 0.1, "far from all others"),
        (245.0, 0.1, ""),
        (-1000.0, 0.0009, ""),
        (-1000.0, 0.0011, "far from all others"),
        (150.0, 0.31, "amid the others"),
        (150.0, 0.29, ""),
        (103.0, 0.5, "amid the others"),
        (101.0, 0.5, ""),
        (197.0, 0.5, "amid the others"),
        (199.0, 0.5, ""),
        (0.0, 0.5, ""),  # normal air
    ],
)
def test_what_is_padding(value: float, share: float, where: str) -> None:
    texts, filled = _set_aside(value, share)
    if where:
        (text,) = texts
        assert f"% of the voxels have exactly the value {value:g}, {where}" in text
        assert "were set to the level of air, 100" in text
        assert filled.ravel()[0] == pytest.approx(100.5, abs=0.5)
    else:
        assert texts == []


@pytest.mark.parametrize(("value", "count"), [(-1.0, 0), (-3.0, 1)])
def test_the_only_negative_value_is_padding(value: float, count: int) -> None:
    """If it is below the others by more than a fiftieth of their range."""
    assert len(_set_aside(value, 0.1, np.linspace(0, 100, 8000))[0]) == count


def test_an_image_of_one_or_two_values_has_no_padding() -> None:
    assert _set_aside(5.0, 1.0)[0] == []
    assert _set_aside(0.0, 0.5, np.array([1.0]))[0] == []


@pytest.mark.parametrize("place", [(0, 0, 0), (19, 19, 19), (0, 10, 10), (10, 19, 10), (10, 0, 19), (0, 19, 10)])
def test_corners_edges_and_faces_are_looked_at(place: tuple[int, int, int]) -> None:
    image = np.linspace(100, 200, 8000, dtype=np.float32).reshape(20, 20, 20).copy()
    image[5:8, 5:8, 5:8] = -500
    assert np.array_equal(set_aside(image, []), image)  # inside: it may be anything
    image[place] = -500
    assert float(set_aside(image, []).min()) == pytest.approx(100.5, abs=0.5)


def test_several_values_are_set_aside_and_the_given_image_is_not_changed() -> None:
    image = np.linspace(100, 200, 8000, dtype=np.float32).reshape(20, 20, 20).copy()
    image[0], image[-1], image[:, :, 0] = -1000, 5000, 150
    before, flags = image.copy(), list[Flag]()
    assert float(set_aside(image, flags).max()) <= 200
    assert np.array_equal(image, before)
    assert [text.split("value ")[1].split(",")[0] for text in (flag.text for flag in flags)] == ["-1000", "5000"]
