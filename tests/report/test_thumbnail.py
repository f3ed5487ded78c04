"""The thumbnail: small, oriented like the page's pictures, and found again in the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insula.config import SegmentConfig
from insula.predict import segment, to_record
from insula.report import render_page, thumbnail_of
from insula.report.pictures import frame_of
from insula.report.thumbnail import render_thumbnail
from insula.volume import Case

LESION = (255, 90, 60)


def _image(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 1.0, 3.0), (2.0, 1.0, 1.0)])
def test_it_is_small_even_for_noise_and_has_the_proportions_of_the_head(spacing_mm: tuple[float, float, float]) -> None:
    image = np.random.default_rng(0).random((200, 240, 4), dtype=np.float32) + 1
    address = render_thumbnail(frame_of(image, np.zeros(image.shape, bool), spacing_mm), 2)
    assert len(address) <= 6144 + 400  # noise is the worst case
    width, height = _image(address).size
    assert max(width, height) == 96
    assert width / height == pytest.approx(200 * spacing_mm[0] / (240 * spacing_mm[1]), rel=0.02)


def test_the_outline_is_where_radiologists_look_for_it() -> None:
    """RAS+ in: high i is the patient's right, which belongs on the viewer's left; high j is the front, on top."""
    image, mask = np.zeros((96, 96, 3), np.float32), np.zeros((96, 96, 3), bool)
    image[5:91, 5:91] = 1
    mask[70:80, 80:90, 1] = True
    pixels = np.asarray(_image(render_thumbnail(frame_of(image, mask, (1.0, 1.0, 1.0)), 1)).convert("RGB"))
    rows, columns = np.nonzero((pixels == LESION).all(axis=-1))
    assert rows.size > 20
    assert (rows.min(), rows.max()) == pytest.approx((6, 16), abs=1)
    assert (columns.min(), columns.max()) == pytest.approx((16, 26), abs=1)
    none = np.asarray(_image(render_thumbnail(frame_of(image, mask, (1.0, 1.0, 1.0)), 0)).convert("RGB"))
    assert not (none == LESION).all(axis=-1).any()


def test_a_page_keeps_its_thumbnail(coarse_case: Case, tiny_weights: Path, tmp_path: Path) -> None:
    result = segment(coarse_case.scan, SegmentConfig(device="cpu"), weights=str(tiny_weights))
    page = tmp_path / "page.html"
    page.write_text(render_page(result, to_record(result)), encoding="utf-8")
    address = thumbnail_of(page)
    assert len(address) <= 6144
    assert max(_image(address).size) == 96


def test_other_pages_have_none(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert thumbnail_of(page) == ""
    page.write_text('<meta name="thumbnail" content="javascript:alert(1)">')
    assert thumbnail_of(page) == ""
