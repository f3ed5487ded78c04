"""The index: a complete table without JavaScript, and in a browser the verdicts of a rater."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from insula.errors import BadData
from insula.predict import CaseRecord, refusal
from insula.report import Review, render_index
from insula.study import read_reviews
from report.records import MASKS, done_record

_WEB = Path(__file__).parents[2] / "web"
_CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
REFUSED = refusal("refused", BadData("the scan", "x", "is damaged", "copy it again"))


def _review(case: str, rater: str, verdict: str, mask: str, note: str = "") -> Review:
    return Review(case=case, rater=rater, verdict=verdict, note=note, reviewed="2026-05-01T10:00:00Z", mask_sha256=mask)


def _cases() -> list[CaseRecord]:
    warned = done_record("c", flags=[{"code": "motion", "severity": "warning", "text": "the head moved"}])
    return [done_record("a"), done_record("b"), warned, REFUSED]


REVIEWS = [_review("a", "anna", "pass", "0" * 64), _review("b", "ben", "pass", MASKS["b"], "a note")]


def _order(html: str) -> list[str]:
    return re.findall(r'<tr data-case="([^"]*)"', html)


def test_the_highest_score_comes_first_and_equals_keep_their_order() -> None:
    order = _order(render_index(_cases()))
    assert order[0] == "refused"
    assert order.index("c") < order.index("a") < order.index("b")


def test_without_javascript_the_table_has_verdicts_notes_and_progress() -> None:
    html = render_index(_cases(), reviews=REVIEWS)
    assert "1 of 3 reviewed" in html
    assert '<span class="verdict outdated">outdated</span>' in html
    assert '<span class="verdict pass">pass</span> <small>ben</small><p>ben: a note</p>' in html
    assert '<div id="controls" hidden>' in html
    assert "the head moved" in html


def test_the_page_fetches_nothing() -> None:
    html = render_index(_cases(), reviews=REVIEWS, thumbnails={"a": "data:image/png;base64,AAAA"})
    assert not re.search(r"https?://|@import|<link|src=\"(?!data:)", html)
    assert html.count("<img ") == 1


def test_verdicts_of_other_folders_are_not_in_the_page() -> None:
    html = render_index(_cases(), reviews=[*REVIEWS, _review("elsewhere", "anna", "pass", "1" * 64)])
    (data,) = re.findall(r'<script type="application/json" id="reviews">(.*?)</script>', html)
    assert [review["case"] for review in json.loads(data)] == ["a", "b"]


def test_text_of_raters_cannot_leave_its_place() -> None:
    evil = "</script><script>alert(1)</script>"
    html = render_index(_cases(), reviews=[_review("a", evil, "pass", MASKS["a"], evil)])
    assert html.count("<script") == 2
    assert "alert(1)" in html


def test_the_study_is_known_by_its_cases_alone() -> None:
    def study(records: list[CaseRecord]) -> str:
        return re.findall(r'data-study="(\w+)"', render_index(records))[0]

    assert study(_cases()) == study([*reversed(_cases())])
    assert study(_cases()) != study(_cases()[1:])


@pytest.mark.skipif(_CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(not (_WEB / "node_modules" / "puppeteer-core").is_dir(), reason="run `make page` first")
@pytest.mark.long
def test_a_rater_reviews_a_study_in_a_browser(tmp_path: Path) -> None:
    head = "case\trater\tverdict\tnote\treviewed\tmask_sha256\n"
    files = {
        "index.html": render_index(_cases(), reviews=REVIEWS),
        "grown.html": render_index([*_cases(), done_record("d")], reviews=REVIEWS),
        "b.html": "<!doctype html><title>b</title>",
        "ben.tsv": f"{head}c\tben\tfix\tn/a\t2026-05-02\t{MASKS['c']}\nc\tn/a\tpass\tn/a\t2026-05-01\t{MASKS['c']}\n"
        f"other\tben\tfix\t\t2026-05-02\t{'5' * 64}\n",
        "bad.tsv": f"{head}a\tben\tfix\t\t2026-05-02\t{MASKS['a']}\nc\tben\tperhaps\t\t2026-05-02\t{MASKS['c']}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    arguments = [str(tmp_path / name) for name in ("index.html", "grown.html", "ben.tsv", "bad.tsv", "")]
    done = subprocess.run(
        ["node", str(_WEB / "test" / "index.mjs"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "CHROMIUM": str(_CHROMIUM)},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["ok"] is True
    exported = {(review.case, review.rater): review for review in read_reviews(tmp_path / "review_anna.tsv")}
    assert {key: review.verdict for key, review in exported.items()} == {
        ("b", "anna"): "pass",
        ("c", "anna"): "fail",
        ("c", "ben"): "fix",
        ("c", "n/a"): "pass",
    }
    assert exported["b", "anna"].note == "rim 'cut' p"
    assert exported["c", "anna"].mask_sha256 == MASKS["c"]
