"""The memory's page: whole, escaped, nothing fetched, a picture for every layer that holds a token."""

from __future__ import annotations

import re

import numpy as np

from insula.geometry import Grid
from insula.predict import Remembered, Token
from insula.report import render_memory


def _remembered() -> Remembered:
    image = np.random.default_rng(0).random((32, 32, 32), dtype=np.float32)
    lesion = np.zeros((32, 32, 32), bool)
    lesion[18:22, 18:22, 20:22] = True
    tokens = (
        Token(corner=(16, 16, 16), centre_mm=(24.0, 24.0, 24.0), score=0.9, mirrored=False),
        Token(corner=(0, 16, 0), centre_mm=(8.0, 24.0, 8.0), score=0.2, mirrored=False),
        Token(corner=(0, 16, 16), centre_mm=(8.0, 24.0, 24.0), score=0.9, mirrored=True),
    )
    return Remembered(image, lesion, Grid((32, 32, 32), np.eye(4)), tokens, 16, "fifo")


def test_the_page_is_whole_and_fetches_nothing() -> None:
    html = render_memory(_remembered(), case="<b>case</b>", model={"model": "mamba_unet"})
    assert html.rstrip().endswith("</html>")
    assert not re.search(r"(src|href)=.https?:", html)
    assert "<b>case</b>" not in html
    assert "2 tokens of 16" in html
    assert "memory: fifo" in html
    assert html.count("<svg") == 2
    assert html.count('class="outline truth"') == 2  # each layer shows its tokens
    assert html.count('class="outline" ') == 1  # and one of them the lesion
    assert "axial 21/32" in html  # cut where the lesion is largest
    assert "0.900" in html
    assert "24, 24, 24" in html
