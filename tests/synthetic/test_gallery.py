"""The gallery has every kind of head once, and its page shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from insula.errors import NoInput
from insula.report import render_gallery, show_head, show_scan
from insula.simulate import UnfamiliarKind, phantom_case
from insula.simulate.confounders import KINDS
from insula.simulate.phantom import phantom_grid
from insula.synthetic import Sources, gallery_heads
from simulate.hosts import ball_outline, small_host


@pytest.fixture(scope="module")
def sources() -> Sources:
    hosts = (small_host(), replace(small_host(image=False), name="map"))
    return Sources(hosts=hosts, acute=(ball_outline(18.0),), chronic=(ball_outline(16.0),), fingerprint="phantom")


@pytest.mark.long
def test_every_kind_is_there_and_the_same_seed_gives_the_same(sources: Sources) -> None:
    heads, again = (list(gallery_heads(sources, seed=3, each=1)) for _ in range(2))
    titles = [head.title for head in heads]
    for kind in ("chronic", "subacute", "acute", "haemorrhagic", "laminar", "lacune"):
        assert f"{kind} infarct" in titles
    for kind in get_args(UnfamiliarKind):
        assert f"unfamiliar: {kind}" in titles
    for kind in KINDS:
        assert f"not a stroke: {kind.replace('_', ' ')}" in titles
    assert {"stripped", "defaced", "painted"} <= set(titles)
    for exhibit, repeated in zip(heads, again, strict=True):
        assert torch.equal(exhibit.head.image, repeated.head.image)
        lesion = "infarct" in exhibit.title or "unfamiliar" in exhibit.title
        assert bool(exhibit.head.truth.any()) == lesion, exhibit.title


def test_the_page_shows_them_all_and_needs_nothing_else(sources: Sources) -> None:
    heads = list(gallery_heads(sources, seed=0, each=1))[:3]
    scan = phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0))).scan
    page = render_gallery([show_scan(scan), *map(show_head, heads)], about="A test & more.")
    assert page.count("<h2>") == 4
    assert "A test &amp; more." in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/png;base64") == 12


def test_without_images_there_is_no_gallery(sources: Sources) -> None:
    with pytest.raises(NoInput, match="no image of a whole head"):
        next(gallery_heads(replace(sources, hosts=sources.hosts[1:]), seed=0))
