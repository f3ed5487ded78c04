"""Pages: self-contained, escaped, oriented, and saying what the record says."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insula.config import SegmentConfig
from insula.errors import BadData
from insula.predict import Result, refusal, segment, to_record
from insula.report import Truth, picture, render_index, render_page
from insula.report.pictures import frame_of
from insula.volume import Case, Scan


@pytest.fixture(scope="module")
def result(coarse_case: Case, tiny_weights: Path) -> Result:
    return segment(coarse_case.scan, SegmentConfig(device="cpu"), weights=str(tiny_weights))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        if tag not in ("meta", "input", "image", "path", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_outside_and_is_well_formed(result: Result) -> None:
    html = render_page(result, to_record(result))
    parser = _Links()
    parser.feed(html)
    assert parser.open == []
    assert parser.links
    assert all(link.startswith("data:image/png;base64,") for link in parser.links)
    assert not re.search(r"https?://|@import|<script", html)


def test_the_page_says_what_the_record_says(result: Result) -> None:
    record = to_record(result)
    html = render_page(result, record)
    assert f"{record['volume_ml']:.2f} <small>ml" in html
    for lesion in record["lesions"][:50]:
        assert f"<td>{lesion['volume_ml']:.3f}</td>" in html
    assert "not a medical device" in html
    assert html.count("<figure>") == 15
    assert html.count('class="outline"') > 3


def _figures(html: str) -> list[tuple[str, str]]:
    """Name and value of each figure at the top of a page."""
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)
    return [(name, re.sub(r"<.*?>", "", value)) for name, value in pairs]


def test_a_simulated_lesion_is_shown_with_its_true_volume_and_dice(result: Result) -> None:
    truth = Truth(volume_ml=12.345, source="simulation", note="This head is <simulated>.", dice=0.8766)
    html = render_page(result, to_record(result), truth=truth)
    figures = _figures(html)
    assert figures[1] in (("True volume", "12.35 ml"), ("True volume", "12.34 ml"))
    assert figures[-1] == ("Dice with the known truth", "0.877")
    assert "This head is &lt;simulated&gt;." in html
    assert "Experts" not in html


def test_a_volume_that_experts_drew_stands_beside_ours_without_a_dice(result: Result) -> None:
    record = to_record(result)
    html = render_page(result, record, truth=Truth(volume_ml=134.5, source="experts", note="A real patient."))
    assert _figures(html)[:2] == [("Lesion volume", f"{record['volume_ml']:.2f} ml"), ("Experts drew", "134.5 ml")]
    assert "A real patient." in html
    for word in ("Dice", "True volume", "simulated"):
        assert word not in html.split("<h2>Method</h2>")[0]


def test_an_ordinary_scan_is_compared_with_nothing(result: Result) -> None:
    names = [name for name, _ in _figures(render_page(result, to_record(result)))]
    assert names[:2] == ["Lesion volume", "Lesions"]
    assert not {"Dice with the known truth", "True volume", "Experts drew"} & set(names)


def test_an_empty_result_says_why(coarse_case: Case, tiny_weights: Path) -> None:
    none = segment(coarse_case.scan, SegmentConfig(device="cpu", threshold=1.0), weights=str(tiny_weights))
    html = render_page(none, to_record(none))
    assert "No lesion found: the highest probability" in html
    assert 'class="outline" d' not in html


def test_names_are_escaped_everywhere(coarse_case: Case, tiny_weights: Path) -> None:
    evil = Scan(coarse_case.scan.image, coarse_case.scan.grid, name="<script>alert(1)</script>")
    result = segment(evil, SegmentConfig(device="cpu"), weights=str(tiny_weights))
    record = to_record(result) | {"files": {"page": 'a"b<c>.html'}}
    for html in (
        render_page(result, record),
        render_index([record, refusal(evil.name, BadData("x", "<b>", "y", "z"))]),
    ):
        assert "<script>alert" not in html
        assert "&lt;script&gt;" in html


def test_the_title_names_no_one(result: Result) -> None:
    titles = re.findall(r"<title>(.*?)</title>", render_page(result, to_record(result)) + render_index([]))
    assert titles == ["Lesion report", "Lesion reports"]


def test_left_and_right_are_where_radiologists_look_for_them() -> None:
    """RAS+ in: index 0 along i is the patient's left, and belongs on the viewer's right; front and top are up."""
    image = np.full((20, 24, 22), 100, np.float32)
    image[:10] = 200  # the left half is bright
    mask = np.zeros(image.shape, bool)
    mask[2, 20, 18] = True  # left, front, top
    frame = frame_of(image, mask, (1.0, 1.0, 1.0))
    for plane, index in (("axial", 18), ("coronal", 20)):
        shown = picture(frame, plane, index)  # type: ignore[arg-type]
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.png))))
        assert pixels[:, -1].mean() > pixels[:, 0].mean()
        assert (shown.left_mark, shown.right_mark) == ("R", "L")
        xs, ys = zip(*[map(float, point.split()) for point in re.findall(r"[\d.]+ [\d.]+", shown.outline)], strict=True)
        assert min(xs) > shown.width_mm / 2, "the left lesion is on the viewer's right"
        assert max(ys) < shown.height_mm / 2, "and up"
    sagittal = picture(frame, "sagittal", 2)
    xs, _ = zip(*[map(float, point.split()) for point in re.findall(r"[\d.]+ [\d.]+", sagittal.outline)], strict=True)
    assert (sagittal.left_mark, sagittal.right_mark) == ("A", "P")
    assert max(xs) < sagittal.width_mm / 2, "the front is on the viewer's left"


def test_the_outline_is_the_masks_border_in_millimetres() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[5:10, 5:10, 10] = True
    frame = frame_of(np.random.default_rng(0).random((20, 20, 20), dtype=np.float32) + 1, mask, (2.0, 3.0, 1.0))
    shown = picture(frame, "axial", 10)
    points = np.array([list(map(float, p.split())) for p in re.findall(r"[\d.]+ [\d.]+", shown.outline)])
    assert np.ptp(points[:, 0]) == pytest.approx(5 * 2, abs=0.11)
    assert np.ptp(points[:, 1]) == pytest.approx(5 * 3, abs=0.11)
    assert shown.width_mm == frame.view[0].stop * 2 - frame.view[0].start * 2


@pytest.mark.parametrize(("chance", "shown"), [(None, "–"), (0.5, "0.50"), (0.994, "0.99"), (0.9996, "over 0.99")])
def test_nothing_is_certain(chance: float | None, shown: str, result: Result) -> None:
    record = to_record(result)
    for lesion in record["lesions"]:
        lesion["confidence"] = chance
    cells = re.findall(r"<td>([^<]*)</td></tr>", render_page(result, record))
    assert set(cells) == {shown}


@pytest.fixture(scope="module")
def brained(coarse_case: Case, brain_weights: Path) -> Result:
    return segment(coarse_case.scan, SegmentConfig(device="cpu"), weights=str(brain_weights))


def test_the_page_shows_the_brain_and_the_lesions_share_of_it(brained: Result) -> None:
    record = to_record(brained)
    html = render_page(brained, record)
    assert f"<dt>Brain volume</dt><dd>{record['brain']['volume_ml']:.0f} <small>ml" in html
    assert f"<dt>Lesion / brain</dt><dd>{100 * record['brain']['lesion_share']:.2f} <small>%" in html
    assert html.count('class="outline brain"') > 12
    assert 'class="key brain"></span> brain' in html
    assert "Show the outlines<" in html
    parser = _Links()
    parser.feed(html)
    assert parser.open == []


def test_without_a_brain_the_page_says_nothing_of_one(result: Result) -> None:
    html = render_page(result, to_record(result))
    main = html[html.index("<main") :]
    assert "brain" not in main.lower().replace("t1w brain", "")
    assert "Show the outline<" in main


def test_the_share_of_no_brain_is_a_dash(brained: Result) -> None:
    record = to_record(brained) | {"brain": {"volume_ml": 0.0, "lesion_share": None}}
    assert "<dt>Lesion / brain</dt><dd>–</dd>" in render_page(brained, record)


def test_the_brains_outline_is_its_own_border(brained: Result) -> None:
    image = np.random.default_rng(0).random((20, 20, 20), dtype=np.float32) + 1
    lesion, brain = np.zeros((2, 20, 20, 20), bool)
    brain[3:15, 4:12, 5:18] = True
    shown = picture(frame_of(image, lesion, (2.0, 3.0, 1.0), brain=brain), "axial", 10)
    assert shown.outline == ""
    points = np.array([list(map(float, p.split())) for p in re.findall(r"[\d.]+ [\d.]+", shown.brain)])
    assert np.ptp(points[:, 0]) == pytest.approx(12 * 2, abs=0.11)
    assert np.ptp(points[:, 1]) == pytest.approx(8 * 3, abs=0.11)
    assert picture(frame_of(image, lesion, (2.0, 3.0, 1.0)), "axial", 10).brain == ""
    assert picture(frame_of(image, lesion, (2.0, 3.0, 1.0), brain=brain), "axial", 2).brain == ""


def test_the_index_has_both_numbers_and_leaves_them_empty_where_not_known(brained: Result, result: Result) -> None:
    files = {"files": {"page": "x.html"}}
    known = to_record(brained) | files | {"case": "known"}
    unknown = to_record(result) | files | {"case": "unknown"}
    older = {key: value for key, value in unknown.items() if key != "brain"} | {"case": "older"}
    none = unknown | {"brain": {"volume_ml": 0.0, "lesion_share": None}, "case": "none"}
    html = render_index([known, unknown, older, none, refusal("bad", BadData("a", "b", "c", "d"))])
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL)
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in lines]
    cells = {re.sub(r"<.*?>", "", row[0]): row for row in rows}
    assert cells["Case"][4:6] == ["Brain [ml]", "Lesion / brain [%]"]
    brain = known["brain"]
    assert cells["known"][4:6] == [f"{brain['volume_ml']:.0f}", f"{100 * brain['lesion_share']:.2f}"]
    assert cells["unknown"][4:6] == cells["older"][4:6] == ["", ""]
    assert cells["none"][4:6] == ["0", ""]
    assert len(cells["known"]) == len(cells["Case"])
    assert 'colspan="5"' in html
