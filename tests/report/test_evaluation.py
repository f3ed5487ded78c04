"""The page of an evaluation: numbers, charts, galleries, and names that are not trusted."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from cohort.tree import load, mask_path, plant_tree, save
from insula.cohort import find_cohort
from insula.evaluate import PRESETS, CaseScore, Pair, compare, pair_up, score_pair, summarise
from insula.report import gallery, render_evaluation
from insula.types import Flag


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[CaseScore], tuple[Pair, ...]]:
    """Thirteen cases, one a control with a false alarm; predictions are the truth, moved farther and farther."""
    root, folder = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("predictions")
    for number, name in enumerate(plant_tree(root, sites=1, each=13, step_mm=6.0)):
        voxels, affine = load(mask_path(root, name))
        save(folder / f"sub-{name}_ses-1_mask.nii.gz", np.roll(voxels, number // 3, axis=1), affine)
        if number == 12:
            save(mask_path(root, name), np.zeros_like(voxels), affine)
    pairs = pair_up(find_cohort(root), folder)
    return [score_pair(pair, PRESETS["full"]) for pair in pairs], pairs


def _page(name: str, scored: tuple[list[CaseScore], tuple[Pair, ...]]) -> str:
    scores, pairs = scored
    preset = PRESETS["full"]
    other = [
        replace(score, metrics={key: None if v is None else v * (0.9 - n / 100) for key, v in score.metrics.items()})
        for n, score in enumerate(scores)
    ]
    sets = {name: scores, "other": other}
    rows = {key: summarise(members, preset) for key, members in sets.items()}
    return render_evaluation(sets, rows, compare(sets, preset.metrics), preset, {name: gallery(scores, pairs)})


@pytest.fixture(scope="module")
def page(scored: tuple[list[CaseScore], tuple[Pair, ...]]) -> str:
    return _page("ours", scored)


def test_galleries_hold_the_best_the_worst_and_the_false_alarms(
    scored: tuple[list[CaseScore], tuple[Pair, ...]],
) -> None:
    shown = gallery(*scored)
    assert list(shown) == ["Best", "Middle", "Worst", "False alarms on controls"]
    best, worst = ([score.metrics["dice"] for score, _ in shown[name]] for name in ("Best", "Worst"))
    assert min(value or 0 for value in best) > max(value or 0 for value in worst)
    assert best[0] == 1
    ((false_alarm, _),) = shown["False alarms on controls"]
    assert false_alarm.truth_voxels == 0
    assert shown["Worst"][-1][1].truth  # the truth's outline is drawn beside the prediction's
    assert all(picture.png for examples in shown.values() for _, picture in examples)


def test_the_page_is_whole_and_fetches_nothing(scored: tuple[list[CaseScore], tuple[Pair, ...]], page: str) -> None:
    html = page
    assert html.rstrip().endswith("</html>")
    assert not re.search(r"""(src|href)=["']https?:|@import|<script""", html)
    scores, _ = scored
    mean = np.mean([score.metrics["dice"] for score in scores if score.metrics["dice"] is not None])
    assert f"{mean:.3f}" in html
    assert html.count("<svg") > 12
    for text in ("n = 13", "Holm", "1k-10k", "control", "not a medical device"):
        assert text in html, text


def test_flags_of_records_are_shown_with_their_cases(
    scored: tuple[list[CaseScore], tuple[Pair, ...]], page: str
) -> None:
    scores, pairs = scored
    flags = (Flag("resampled", "It was <resampled>.", "note"), Flag("motion", "It shows motion."))
    worst = min((score for score in scores if score.truth_voxels), key=lambda score: score.metrics["dice"] or 0.0)
    flagged = [replace(score, flags=flags if score is worst else ()) for score in scores]
    html = _page("ours", (flagged, pairs))
    assert "1 of 13 cases" in html
    table, picture = html.index("Warnings and notes of the records"), html.index("Worst · ours")
    for start in (table, picture):
        shown = html[start:]
        assert shown.index("It shows motion.") < shown.index("It was &lt;resampled&gt;.")
        assert worst.case in shown[: shown.index("It shows motion.")]
    assert "Warnings and notes" not in page


def test_what_was_passed_over_is_on_the_page(scored: tuple[list[CaseScore], tuple[Pair, ...]]) -> None:
    scores, _ = scored
    rows = {"ours": summarise(scores, PRESETS["full"])}
    note = "passed over: 2 masks & more"
    html = render_evaluation({"ours": scores}, rows, (), PRESETS["full"], {}, notes=[note])
    assert "passed over: 2 masks &amp; more" in html


def test_names_are_escaped(scored: tuple[list[CaseScore], tuple[Pair, ...]]) -> None:
    html = _page("<script>alert(1)</script>", scored)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
