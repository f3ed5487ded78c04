"""Charts: the same bytes for the same data, and nothing from outside."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from insula.report.chart import chart, site_colours


def _drawn() -> str:
    with chart() as drawing:
        drawing.axes.plot([0, 1], [0, 1])
        drawing.axes.set_title("<b> & Dice")
    return drawing.svg


def test_a_chart_is_an_svg_that_scales_and_repeats() -> None:
    first = _drawn()
    assert first == _drawn()
    root = ElementTree.fromstring(first)
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    assert "height" not in root.attrib
    assert not re.search(r"<(script|image)|@import|url\(http", first)


def test_sites_keep_their_colours() -> None:
    names = [f"R{n:03d}" for n in range(12)]
    colours = site_colours(names)
    assert len(set(colours.values())) == 12
    assert site_colours(names[::-1]) == colours
