from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from insula.predict import segment, to_record
from insula.report import render_capture
from insula.types import Flag
from insula.volume import Case

_LESION = (255, 90, 60)


def _reddish(picture: np.ndarray) -> int:
    """Pixels nearer to the outline's colour than to grey."""
    red, green, blue = (picture[..., n].astype(int) for n in range(3))
    return int(((red - green > 60) & (red - blue > 60)).sum())


def test_the_outline_is_drawn_where_there_is_a_lesion_and_only_there(coarse_case: Case, tiny_weights: Path) -> None:
    result = segment(coarse_case.scan, weights=str(tiny_weights))
    assert result.lesions
    picture = render_capture(result, to_record(result))
    assert picture.dtype == np.uint8
    assert _reddish(picture) > 200
    empty = replace(result, mask=replace(result.mask, voxels=np.zeros_like(result.mask.voxels)), lesions=())
    assert _reddish(render_capture(empty, to_record(empty))) == 0


def test_it_grows_with_what_has_to_be_said(coarse_case: Case, tiny_weights: Path) -> None:
    result = segment(coarse_case.scan, weights=str(tiny_weights))
    plain = render_capture(result, to_record(result))
    long = replace(result, flags=(*result.flags, Flag("x", "a warning that goes on " * 12)))
    warned = render_capture(long, to_record(long))
    assert warned.shape[0] > plain.shape[0]
    assert warned.shape[1] == plain.shape[1]
